package app

import (
	"testing"

	"housecall/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
