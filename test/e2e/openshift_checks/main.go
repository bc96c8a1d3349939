// Command openshift_checks does to a KMS plugin's socket what OpenShift's operators do: the preflight check that
// decides whether a configuration is taken, and one round of the reporter that tells an administrator about health.
// It prints one JSON object. Intervals, limits, sizes and the kind of uid are those of openshift/library-go,
// pkg/operator/encryption/kms, as test/_lib/openshift/contract.ts says.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/kms/apis/v2"
	"k8s.io/kms/pkg/service"
)

const (
	callLimit     = 10 * time.Second
	statusLimit   = 30 * time.Second
	statusEvery   = 2 * time.Second
	reporterLimit = 5 * time.Second
	plainBytes    = 32
)

type result struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	// What the log of the preflight pod has for each Status that was not good.
	NotReady []string `json:"notReady"`
	KeyID    string   `json:"keyId"`
	// As the reporter has it: Healthy, Unhealthy or Error, and the text beside it.
	Health string `json:"health"`
	Detail string `json:"detail"`
}

// plugin is the operators' interface, over the same messages as an API server sends.
type plugin struct{ client v2.KeyManagementServiceClient }

var _ service.Service = plugin{}

func (p plugin) Status(ctx context.Context) (*service.StatusResponse, error) {
	answer, err := p.client.Status(ctx, &v2.StatusRequest{})
	if err != nil {
		return nil, err
	}
	return &service.StatusResponse{Version: answer.Version, Healthz: answer.Healthz, KeyID: answer.KeyId}, nil
}

func (p plugin) Encrypt(ctx context.Context, uid string, data []byte) (*service.EncryptResponse, error) {
	answer, err := p.client.Encrypt(ctx, &v2.EncryptRequest{Plaintext: data, Uid: uid})
	if err != nil {
		return nil, err
	}
	return &service.EncryptResponse{Ciphertext: answer.Ciphertext, KeyID: answer.KeyId, Annotations: answer.Annotations}, nil
}

func (p plugin) Decrypt(ctx context.Context, uid string, req *service.DecryptRequest) ([]byte, error) {
	answer, err := p.client.Decrypt(ctx, &v2.DecryptRequest{
		Ciphertext: req.Ciphertext, Uid: uid, KeyId: req.KeyID, Annotations: req.Annotations,
	})
	if err != nil {
		return nil, err
	}
	return answer.Plaintext, nil
}

func main() {
	socket := flag.String("socket", "", "path of the plugin's socket")
	mode := flag.String("mode", "preflight", "preflight or health")
	flag.Parse()

	r := &result{NotReady: []string{}}
	if err := run(*socket, *mode, r); err != nil {
		r.Error = err.Error()
	}
	r.OK = r.Error == ""
	_ = json.NewEncoder(os.Stdout).Encode(r)
	if !r.OK {
		os.Exit(1)
	}
}

func run(socket, mode string, r *result) error {
	if !strings.HasPrefix(socket, "/") {
		return fmt.Errorf("-socket: wanted an absolute path, got %q", socket)
	}
	connection, err := grpc.NewClient("passthrough:///"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			return net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
		}))
	if err != nil {
		return err
	}
	defer connection.Close()
	p := plugin{v2.NewKeyManagementServiceClient(connection)}
	switch mode {
	case "preflight":
		return preflight(p, r)
	case "health":
		report(p, r)
		return nil
	}
	return fmt.Errorf("-mode: wanted preflight or health, got %q", mode)
}

func preflight(s service.Service, r *result) error {
	if err := statusUntilOK(s, r); err != nil {
		return err
	}
	plaintext := make([]byte, plainBytes)
	if _, err := rand.Read(plaintext); err != nil {
		return err
	}
	uid := fmt.Sprintf("preflight-check-%x", plaintext[:4])
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	made, err := s.Encrypt(ctx, uid, plaintext)
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	if bytes.Contains(made.Ciphertext, plaintext) {
		return fmt.Errorf("Encrypt: the ciphertext holds the plaintext")
	}
	if made.KeyID != r.KeyID {
		return fmt.Errorf("Encrypt: wanted the key id of Status %q, got %q", r.KeyID, made.KeyID)
	}
	opened, err := s.Decrypt(ctx, uid, &service.DecryptRequest{
		Ciphertext: made.Ciphertext, KeyID: made.KeyID, Annotations: made.Annotations,
	})
	if err != nil {
		return fmt.Errorf("Decrypt: %w", err)
	}
	if !bytes.Equal(opened, plaintext) {
		return fmt.Errorf("Decrypt: gave back other bytes")
	}
	return nil
}

func statusUntilOK(s service.Service, r *result) error {
	end := time.Now().Add(statusLimit)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		answer, err := s.Status(ctx)
		cancel()
		switch {
		case err != nil:
			r.NotReady = append(r.NotReady, err.Error())
		case answer.Healthz != "ok":
			r.NotReady = append(r.NotReady, "healthz="+answer.Healthz)
		default:
			r.KeyID = answer.KeyID
			return nil
		}
		if time.Now().Add(statusEvery).After(end) {
			return fmt.Errorf("Status was not ok within %v", statusLimit)
		}
		time.Sleep(statusEvery)
	}
}

func report(s service.Service, r *result) {
	ctx, cancel := context.WithTimeout(context.Background(), reporterLimit)
	defer cancel()
	answer, err := s.Status(ctx)
	switch {
	case err != nil:
		r.Health, r.Detail = "Error", err.Error()
	case answer.Healthz == "ok":
		r.Health, r.KeyID = "Healthy", answer.KeyID
	default:
		r.Health, r.Detail = "Unhealthy", answer.Healthz
	}
}
