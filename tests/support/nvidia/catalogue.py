"""STUB packages with NVIDIA's names, versions and dependencies, as its Debian repositories have them.

Sources are in README.md. The dependencies on what is not NVIDIA's are left out, save DKMS.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from tests.support.nvidia import texts
from tests.support.nvidia.debs import Deb, File

DRIVERS = ("570.195.03", "580.126.20", "580.159.03", "620.70.06")
TOOLKITS = ("1.19.1-1", "1.20.0-1")
DCGM = "1:4.6.0-1"
NVLSM = "2025.10.11-1"
STUBS = Path(__file__).parent / "stubs"
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
UNITS = "/lib/systemd/system"


def stub(name: str, **values: str) -> str:
    """One of the scripts in `stubs/`, with its @NAME@s filled in."""
    text = (STUBS / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key.upper()}@", value)
    return text


def branch_of(driver: str) -> int:
    """580 of "580.126.20"."""
    return int(driver.partition(".")[0])


def driver_packages(driver: str) -> list[Deb]:
    """Everything that one driver release puts into the CUDA repository."""
    version, branch = f"{driver}-1", branch_of(driver)

    def deb(name: str, what: str, files: Mapping[str, File] | None = None, **options: object) -> Deb:
        fields = {key.capitalize(): str(value) for key, value in options.items() if key not in ("scripts", "conffiles")}
        scripts = options.get("scripts", {})
        assert isinstance(scripts, dict)
        return Deb(name, version, what, files or {}, scripts, fields)

    metapackages = [
        (name, kind)
        for kind, names in (
            ("open", ["nvidia-open", *([f"nvidia-open-{branch}"] if branch < 590 else [])]),
            ("", ["cuda-drivers", *([f"cuda-drivers-{branch}"] if branch < 590 else [])]),
        )
        for name in names
    ]
    # `>=`: naming the version of a metapackage pins nothing below it.
    found = [
        deb(
            name,
            "driver metapackage",
            depends=f"nvidia-driver-cuda (>= {driver}), nvidia-kernel-{kind}{'-' if kind else ''}dkms (>= {driver}), "
            f"libnvidia-ml1 (>= {driver})",
        )
        for name, kind in metapackages
    ]
    found += [
        deb(
            "nvidia-driver-cuda",
            "CUDA part of the driver, with nvidia-smi",
            {"/usr/bin/nvidia-smi": File(stub("nvidia-smi"), 0o755)},
            depends=f"libcuda1 (= {version}), libnvidia-ml1 (= {version}), libnvidia-ptxjitcompiler1 (= {version}), "
            f"nvidia-persistenced (= {version}), nvidia-modprobe (= {version})",
            conflicts="nvidia-smi",
            replaces="nvidia-smi",
            provides=f"nvidia-smi (= {version})",
        ),
        deb(
            "libcuda1",
            "CUDA driver library",
            _library("libcuda", driver),
            depends=f"libnvidia-ptxjitcompiler1 (= {version})",
            recommends="nvidia-kernel-open-dkms | nvidia-kernel-dkms",
        ),
        deb("libnvidia-ml1", "management library", _library("libnvidia-ml", driver)),
        deb("libnvidia-ptxjitcompiler1", "PTX compiler", _library("libnvidia-ptxjitcompiler", driver)),
        deb("libnvidia-cfg1", "configuration library", _library("libnvidia-cfg", driver)),
        deb("firmware-nvidia-gsp", "firmware", {f"/lib/firmware/nvidia/{driver}/gsp_ga10x.bin": File("STUB\n")}),
        deb("nvidia-modprobe", "loader of the module", {"/usr/bin/nvidia-modprobe": File(texts.MODPROBE, 0o755)}),
        deb("nvidia-imex", "memory export service", {"/usr/bin/nvidia-imex": File("#!/bin/sh\nexit 0\n", 0o755)}),
        deb(
            "nvidia-persistenced",
            "persistence daemon",
            {
                "/usr/bin/nvidia-persistenced": File(texts.PERSISTENCED, 0o755),
                f"{UNITS}/nvidia-persistenced.service": File(texts.PERSISTENCED_UNIT),
            },
            scripts=_service("nvidia-persistenced", enable=True),
        ),
        deb(
            "nvidia-kernel-support",
            "what every flavour of the module needs",
            {"/etc/modprobe.d/nvidia-blacklists-nouveau.conf": File("blacklist nouveau\noptions nouveau modeset=0\n")},
            scripts={"postinst": texts.UPDATE_INITRAMFS, "postrm": texts.UPDATE_INITRAMFS},
        ),
        _module("nvidia-kernel-open-dkms", driver, "open", "nvidia-kernel-dkms"),
        _module("nvidia-kernel-dkms", driver, "proprietary", "nvidia-kernel-open-dkms"),
        _fabric_manager(driver),
        _branchless(driver, "libnvidia-nscq", "library that queries NVSwitches", "libnvidia-nscq.so"),
        *(
            [deb("libnvsdm", "library that queries NVLink switches", _library("libnvsdm", driver))]
            if branch >= 580
            else []
        ),
        _pinning(driver, driver),
    ]
    return found


def other_packages() -> list[Deb]:
    """What the CUDA repository has besides drivers: branch pins, NVLink's subnet manager, DCGM."""
    newest = {branch_of(driver): driver for driver in DRIVERS}
    hostengine = {
        "/usr/bin/dcgmi": File("#!/bin/sh\n# STUB of dcgmi\nexec nvidia-smi -L\n", 0o755),
        "/usr/bin/nv-hostengine": File("#!/bin/sh\n# STUB of DCGM's engine\nexec sleep infinity\n", 0o755),
        f"{UNITS}/nvidia-dcgm.service": File(
            "[Unit]\nDescription=NVIDIA DCGM service\n\n[Service]\nExecStart=/usr/bin/nv-hostengine -n\n"
            "Restart=on-abort\n\n[Install]\nWantedBy=multi-user.target\n"
        ),
    }
    core = "datacenter-gpu-manager-4-core"
    parts = [
        Deb(
            f"datacenter-gpu-manager-4-cuda{major}", DCGM, "DCGM for one CUDA", fields={"Depends": f"{core} (= {DCGM})"}
        )
        for major in (12, 13)
    ]
    nvlsm = {
        "/opt/nvidia/nvlsm/sbin/nvlsm": File(
            "#!/bin/sh\n# STUB of NVLink's subnet manager\nexec sleep infinity\n", 0o755
        )
    }
    return [
        *(_pinning(str(branch), f"{driver.partition('.')[0]}.99") for branch, driver in newest.items()),
        Deb("nvlsm", NVLSM, "subnet manager of NVLink 5", nvlsm),
        Deb(core, DCGM, "data center GPU manager", hostengine, _service("nvidia-dcgm", enable=False)),
        *parts,
    ]


def keyring_package(key: str, source: str) -> Deb:
    """cuda-keyring: the archive's key (armoured) and its one-line source entry."""
    files = {
        "/usr/share/keyrings/cuda-archive-keyring.asc": File(key),
        "/etc/apt/sources.list.d/cuda-debian12-x86_64.list": File(source),
    }
    return Deb("cuda-keyring", "1.1-1", "keyring of the archive", files, architecture="all")


def toolkit_packages(version: str) -> list[Deb]:
    """The container toolkit's four packages. Only the last of the bounds keeps them at one version."""
    upstream = version.rpartition("-")[0]
    base_files = {
        "/usr/bin/nvidia-ctk": File(stub("nvidia-ctk"), 0o755),
        "/usr/bin/nvidia-container-runtime": File(stub("nvidia-container-runtime"), 0o755),
        "/usr/lib/slipway-stub/daemon-json": File(stub("daemon-json"), 0o755),
        "/lib/systemd/system/nvidia-cdi-refresh.service": File(texts.CDI_SERVICE),
        "/lib/systemd/system/nvidia-cdi-refresh.path": File(texts.CDI_PATH),
    }
    cli = {"/usr/bin/nvidia-container-cli": File(f'#!/bin/sh\n# STUB\necho "cli-version: {upstream}"\n', 0o755)}
    hook = {"/usr/bin/nvidia-container-runtime-hook": File("#!/bin/sh\n# STUB\nexit 0\n", 0o755)}
    units = "nvidia-cdi-refresh.path nvidia-cdi-refresh.service"
    return [
        Deb("libnvidia-container1", version, "container library", _library("libnvidia-container", upstream)),
        Deb(
            "libnvidia-container-tools",
            version,
            "command of the container library",
            cli,
            fields={"Depends": f"libnvidia-container1 (>= {version})"},
        ),
        Deb(
            "nvidia-container-toolkit-base",
            version,
            "nvidia-ctk and the CDI refresh",
            base_files,
            {
                "postinst": "#!/bin/sh\nset -e\nif [ -d /run/systemd/system ]; then\n  systemctl daemon-reload\n"
                f"  systemctl -q enable {units}\n  systemctl start --no-block {units}\nfi\n",
                "prerm": f'#!/bin/sh\nset -e\n[ "$1" != remove ] || systemctl -q disable --now {units} || true\n',
            },
        ),
        Deb(
            "nvidia-container-toolkit",
            version,
            "container runtime hook",
            hook,
            fields={
                "Depends": f"nvidia-container-toolkit-base (= {version}), "
                f"libnvidia-container-tools (>= {version}), libnvidia-container-tools (<< 2.0.0)"
            },
        ),
    ]


def machine_packages() -> list[Deb]:
    """Not NVIDIA's: stubs of DKMS and of the headers of the kernel that runs here (it has no Debian package)."""
    kernel = os.uname().release
    dkms = {
        "/usr/sbin/dkms": File(stub("dkms"), 0o755),
        "/usr/lib/dkms/common.postinst": File(stub("dkms-postinst"), 0o755),
    }
    # It sorts after every version of Debian, so that apt does not fetch a compiler.
    found = [Deb("dkms", "99+slipway.stub", "module builder", dkms, architecture="all")]
    if re.fullmatch(r"[a-z0-9][a-z0-9+.-]*", kernel):
        build = {f"/lib/modules/{kernel}/build": File(link=f"/usr/src/linux-headers-{kernel}")}
        build[f"/usr/src/linux-headers-{kernel}/Makefile"] = File("# STUB\n")
        headers = Deb(f"linux-headers-{kernel}", "1+slipway.stub", "kernel headers", build)
        depends = {"Depends": headers.name}
        found += [headers, Deb("linux-headers-amd64", "99+slipway.stub", "follows the kernel", fields=depends)]
    return found


def distribution_packages() -> list[Deb]:
    """STUB of a distribution's own archive: Debian's non-free names, and those of Ubuntu's server driver.

    They do not go together with NVIDIA's: the first by versions and a conflict, the second by file.
    """
    debian, ubuntu, exact = "535.261.03-1~deb12u1", "580.159.03-0ubuntu0.22.04.1", "580.159.03"
    common = "nvidia-kernel-common-580-server"
    plain = [
        Deb("libnvidia-ml1", debian, "management library", _library("libnvidia-ml", "535.261.03")),
        Deb("libcuda1", debian, "CUDA driver library", _library("libcuda", "535.261.03")),
        Deb(
            "nvidia-smi",
            debian,
            "management command",
            {"/usr/bin/nvidia-smi": File(stub("nvidia-smi"), 0o755)},
            fields={"Depends": f"libnvidia-ml1 (= {debian})"},
        ),
        _module("nvidia-kernel-dkms", "535.261.03", "proprietary", "nvidia-kernel-open-dkms", debian, alone=True),
        Deb(
            "nvidia-driver",
            debian,
            "driver metapackage",
            fields={"Depends": f"nvidia-kernel-dkms (= {debian}), nvidia-smi (= {debian}), libcuda1 (= {debian})"},
        ),
    ]
    server = [
        Deb(common, ubuntu, "shared files of the module", fields={"Provides": f"{common}-{exact}"}),
        Deb("libnvidia-compute-580-server", ubuntu, "libraries", _library("libnvidia-ml", exact)),
        Deb(
            "nvidia-utils-580-server",
            ubuntu,
            "nvidia-smi",
            {"/usr/bin/nvidia-smi": File(stub("nvidia-smi"), 0o755)},
            fields={"Depends": "libnvidia-compute-580-server"},
        ),
        Deb(
            "nvidia-fabricmanager-580",
            ubuntu,
            "fabric manager",
            _fabric_files(exact),
            _service("nvidia-fabricmanager", enable=False),
            {"Depends": f"{common}-{exact}"},
        ),
        # A branch's name is no pin: this one takes its host to the next branch.
        Deb("nvidia-fabricmanager-570", ubuntu, "transitional", fields={"Depends": "nvidia-fabricmanager-580"}),
    ]
    return [*plain, *server]


def _library(name: str, version: str) -> dict[str, File]:
    return {
        f"{LIBRARIES}/{name}.so.{version}": File("STUB of a library\n"),
        f"{LIBRARIES}/{name}.so.1": File(link=f"{name}.so.{version}"),
    }


def _module(
    name: str, driver: str, flavour: str, rival: str, version: str | None = None, *, alone: bool = False
) -> Deb:
    version = version or f"{driver}-1"
    conf = f'# STUB\n# flavour={flavour}\nPACKAGE_NAME="nvidia"\nPACKAGE_VERSION="{driver}"\nAUTOINSTALL="yes"\n'
    depends = "dkms (>= 3.0.3-4~)"
    if not alone:
        depends += f", nvidia-kernel-support (= {version}), firmware-nvidia-gsp (= {version})"
    return Deb(
        name,
        version,
        f"{flavour} kernel module",
        {f"/usr/src/nvidia-{driver}/dkms.conf": File(conf)},
        {
            "postinst": f'#!/bin/sh\nset -e\n[ "$1" = configure ] || exit 0\n'
            f"/usr/lib/dkms/common.postinst nvidia {driver}\nupdate-initramfs -u || true\n",
            # When a version goes, in an upgrade as well: this is where the module's file leaves the disk.
            "prerm": f"#!/bin/sh\nset -e\ndkms remove -m nvidia -v {driver} --all || true\n",
        },
        {"Depends": depends, "Conflicts": rival},
    )


def _fabric_files(driver: str) -> dict[str, File]:
    return {
        "/usr/bin/nv-fabricmanager": File(stub("nv-fabricmanager", version=driver), 0o755),
        "/usr/bin/nvidia-fabricmanager-start.sh": File(stub("nvidia-fabricmanager-start.sh"), 0o755),
        "/usr/share/nvidia/nvswitch/fabricmanager.cfg": File("# STUB\nLOG_LEVEL=4\n"),
        f"{UNITS}/nvidia-fabricmanager.service": File(
            "[Unit]\nDescription=NVIDIA fabric manager service\nAfter=network-online.target\n\n"
            "[Service]\nType=forking\nTimeoutStartSec=240\n"
            "ExecStart=/usr/bin/nvidia-fabricmanager-start.sh --mode start\n"
            "ExecStop=-/bin/rm -f /run/slipway-stub/fabric\n\n[Install]\nWantedBy=multi-user.target\n"
        ),
    }


def _fabric_manager(driver: str) -> Deb:
    """Nothing makes apt keep it at the driver's version: that is the release's to do."""
    branch = branch_of(driver)
    old = "nvidia-fabricmanager"
    fields = {"Provides": old, "Replaces": old, "Conflicts": old} if branch < 580 else {}
    name = f"{old}-{branch}" if branch < 580 else old
    scripts = _service(old, enable=False)
    return Deb(name, f"{driver}-1", "fabric manager", _fabric_files(driver), scripts, fields)


def _branchless(driver: str, name: str, what: str, library: str) -> Deb:
    branch = branch_of(driver)
    files = {f"{LIBRARIES}/{library}.{driver}": File("STUB of a library\n")}
    if branch >= 580:
        return Deb(name, f"{driver}-1", what, files)
    return Deb(f"{name}-{branch}", f"{driver}-1", what, files, fields={"Provides": name})


def _pinning(target: str, version: str) -> Deb:
    """Pins to a branch ("580") or a driver ("580.126.20"). Works on what is resolved after it was installed."""
    name, family = f"nvidia-driver-pinning-{target}", "nvidia-driver-pinning"
    names = "nvidia-* libnvidia-* libcuda1 libnvsdm cuda-drivers* firmware-nvidia-gsp"
    text = f"# STUB of {name}\nPackage: {names}\nPin: version {target}{'.*' if '.' not in target else '-*'}\n"
    text += (
        "Pin-Priority: 1000\n\nPackage: nvidia-container-* libnvidia-container*\nPin: release *\nPin-Priority: 500\n"
    )
    files = {"/etc/apt/preferences.d/nvidia-driver-pin": File(text)}
    fields = {"Provides": family, "Conflicts": family, "Replaces": family}
    return Deb(name, f"{version}-1", f"locks the driver to {target}", files, fields=fields, architecture="all")


def _service(name: str, *, enable: bool) -> dict[str, str]:
    start = (
        f"  systemctl -q enable {name}.service\n  systemctl try-restart --no-block {name}.service\n" if enable else ""
    )
    return {
        "postinst": f"#!/bin/sh\nset -e\nif [ -d /run/systemd/system ]; then\n  systemctl daemon-reload\n{start}fi\n",
        "prerm": f'#!/bin/sh\nset -e\n[ "$1" != remove ] || systemctl -q disable --now {name}.service || true\n',
    }
