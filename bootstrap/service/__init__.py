"""Services on a host: model files, bundles of files and units, the health gate, drain, drift, removal."""

from bootstrap.service.converge import ServiceReport, converge_service
from bootstrap.service.drift import read_service
from bootstrap.service.remove import remove_service
from slipway.model_sources import Credentials

__all__ = ["Credentials", "ServiceReport", "converge_service", "read_service", "remove_service"]
