package config

import "os"

// NoColor reports whether the user wants output without colours (no-color.org).
func NoColor() bool { return os.Getenv("NO_COLOR") != "" }
