// Makes of a KubeadmControlPlane what Cluster API's kubeadm provider hands to the first machine: kubeadm's
// ClusterConfiguration, and the user data for cloud-init. Both are made by the provider's own packages; only the
// lookup of a file's content in a Secret, which needs a cluster, is done here. Prints one JSON object.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"github.com/blang/semver/v4"
	"sigs.k8s.io/yaml"

	bootstrapv1beta1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta1"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	"sigs.k8s.io/cluster-api/bootstrap/kubeadm/pkg/cloudinit"
	"sigs.k8s.io/cluster-api/bootstrap/kubeadm/pkg/types"
	"sigs.k8s.io/cluster-api/bootstrap/kubeadm/pkg/types/upstream"
)

type report struct {
	ClusterConfiguration string `json:"clusterConfiguration"`
	UserData             string `json:"userData"`
}

func main() {
	object := flag.String("object", "", "file with the KubeadmControlPlane, in YAML")
	secrets := flag.String("secrets", "", "file with a JSON object: Secrets by name, with their values by key")
	version := flag.String("kubernetes", "", "version of the control plane")
	flag.Parse()
	result, err := made(*object, *secrets, *version)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(1)
	}
}

func made(objectPath, secretsPath, kubernetes string) (*report, error) {
	spec, err := readSpec(objectPath)
	if err != nil {
		return nil, err
	}
	version, err := semver.ParseTolerant(kubernetes)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(secretsPath)
	if err != nil {
		return nil, err
	}
	secrets := map[string]map[string]string{}
	if err := json.Unmarshal(text, &secrets); err != nil {
		return nil, err
	}
	for at, file := range spec.Files {
		if !file.ContentFrom.IsDefined() {
			continue
		}
		from := file.ContentFrom.Secret
		content, found := secrets[from.Name][from.Key]
		if !found {
			return nil, fmt.Errorf("%s: the Secret %s has no %s", file.Path, from.Name, from.Key)
		}
		spec.Files[at].ContentFrom = bootstrapv1.FileSource{}
		spec.Files[at].Content = content
	}
	cluster, err := types.MarshalClusterConfigurationForVersion(&spec.ClusterConfiguration, version, &upstream.AdditionalData{})
	if err != nil {
		return nil, err
	}
	data, err := cloudinit.NewInitControlPlane(&cloudinit.ControlPlaneInput{
		BaseUserData: cloudinit.BaseUserData{
			AdditionalFiles:    spec.Files,
			PreKubeadmCommands: spec.PreKubeadmCommands,
			KubernetesVersion:  version,
		},
		ClusterConfiguration: cluster,
	})
	if err != nil {
		return nil, err
	}
	return &report{ClusterConfiguration: cluster, UserData: string(data)}, nil
}

// Of either version of the API; the older one is converted as the provider itself does.
func readSpec(path string) (*bootstrapv1.KubeadmConfigSpec, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var head struct {
		APIVersion string `json:"apiVersion"`
	}
	if err := yaml.Unmarshal(text, &head); err != nil {
		return nil, err
	}
	if head.APIVersion == "controlplane.cluster.x-k8s.io/v1beta1" {
		var old struct {
			Spec struct {
				KubeadmConfigSpec bootstrapv1beta1.KubeadmConfigSpec `json:"kubeadmConfigSpec"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal(text, &old); err != nil {
			return nil, err
		}
		spec := &bootstrapv1.KubeadmConfigSpec{}
		return spec, bootstrapv1beta1.Convert_v1beta1_KubeadmConfigSpec_To_v1beta2_KubeadmConfigSpec(&old.Spec.KubeadmConfigSpec, spec, nil)
	}
	var object struct {
		Spec struct {
			KubeadmConfigSpec bootstrapv1.KubeadmConfigSpec `json:"kubeadmConfigSpec"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &object); err != nil {
		return nil, err
	}
	return &object.Spec.KubeadmConfigSpec, nil
}
