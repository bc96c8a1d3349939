// Makes the machine config of a Talos control-plane node, applies a patch to it, and validates the result, all by
// Talos' own packages: strictly, and for a machine of metal. Prints the config that came out, or what is wrong.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/validation"
)

// The mode of a real machine.
type metal struct{}

func (metal) String() string        { return "metal" }
func (metal) RequiresInstall() bool { return true }
func (metal) InContainer() bool     { return false }

func main() {
	kubernetes := flag.String("kubernetes", "", "version of the control plane")
	flag.Parse()
	text, err := patched(*kubernetes, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Stdout.Write(text)
}

func patched(kubernetes string, patchFiles []string) ([]byte, error) {
	input, err := generate.NewInput("test", "https://10.20.30.1:6443", kubernetes, generate.WithInstallDisk("/dev/vda"))
	if err != nil {
		return nil, err
	}
	config, err := input.Config(machine.TypeControlPlane)
	if err != nil {
		return nil, err
	}
	sources := make([]string, 0, len(patchFiles))
	for _, file := range patchFiles {
		sources = append(sources, "@"+file)
	}
	patches, err := configpatcher.LoadPatches(sources)
	if err != nil {
		return nil, err
	}
	out, err := configpatcher.Apply(configpatcher.WithConfig(config), patches)
	if err != nil {
		return nil, err
	}
	result, err := out.Config()
	if err != nil {
		return nil, err
	}
	warnings, err := result.Validate(metal{}, validation.WithStrict())
	for _, warning := range warnings {
		fmt.Fprintln(os.Stderr, "warning:", warning)
	}
	if err != nil {
		return nil, err
	}
	return result.Bytes()
}
