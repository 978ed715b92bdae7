package service

import (
	"encoding/xml"
	"fmt"
	"path/filepath"
	"strings"
)

// plist returns the property list of the node for launchd: it starts when it is loaded, and again when it fails.
func (n Node) plist() string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
`)
	text := func(key, value string) {
		fmt.Fprintf(&b, "\t<key>%s</key>\n\t<string>%s</string>\n", key, escape(value))
	}
	text("Label", n.Name)
	b.WriteString("\t<key>ProgramArguments</key>\n\t<array>\n")
	for _, a := range append([]string{n.Program}, n.Arguments...) {
		fmt.Fprintf(&b, "\t\t<string>%s</string>\n", escape(a))
	}
	b.WriteString("\t</array>\n\t<key>RunAtLoad</key>\n\t<true/>\n")
	b.WriteString("\t<key>KeepAlive</key>\n\t<dict>\n\t\t<key>SuccessfulExit</key>\n\t\t<false/>\n\t</dict>\n")
	b.WriteString("\t<key>ThrottleInterval</key>\n\t<integer>10</integer>\n")
	b.WriteString("\t<key>Umask</key>\n\t<integer>63</integer>\n") // 0077; property lists have no octal numbers
	text("ProcessType", "Background")
	if n.Scope == System && n.RunAs != "" {
		text("UserName", n.RunAs)
	}
	// What the node says before it logs, and where it crashes.
	text("StandardErrorPath", filepath.Join(n.Dir, "service.err"))
	b.WriteString("</dict>\n</plist>\n")
	return b.String()
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // writing to memory does not fail
	return b.String()
}
