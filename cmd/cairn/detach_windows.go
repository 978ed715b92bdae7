package main

import "syscall"

// Flags of CreateProcess.
const (
	detachedProcess       = 0x00000008
	createNewProcessGroup = syscall.CREATE_NEW_PROCESS_GROUP
)

// detached starts a process without a console, so that it outlives the one it is started from.
func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: detachedProcess | createNewProcessGroup, HideWindow: true}
}
