// The container that holds a pod's network while its other containers come and go; as process 1 it reaps orphans.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			os.Exit(0)
		}
		for {
			var status syscall.WaitStatus
			if child, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); child <= 0 || err != nil {
				break
			}
		}
	}
}
