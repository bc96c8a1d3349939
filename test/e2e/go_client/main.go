// Command go_client talks to a KMS plugin's socket as kube-apiserver does, with grpc-go and Kubernetes' own
// messages and call options, and prints one JSON object: what each call answered, or what went wrong.
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
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"k8s.io/kms/apis/v1beta1"
	"k8s.io/kms/apis/v2"
)

// The size of the seed that an API server has wrapped, and its time limit for a call.
const (
	seedBytes = 32
	limit     = 3 * time.Second
)

type result struct {
	OK             bool   `json:"ok"`
	Error          string `json:"error,omitempty"`
	Version        string `json:"version"`
	Healthz        string `json:"healthz"`
	KeyID          string `json:"keyId"`
	CipherBytes    int    `json:"ciphertextBytes"`
	Annotations    int    `json:"annotations"`
	ForeignKeyID   string `json:"foreignKeyIdCode"`
	V1Version      string `json:"v1Version"`
	V1Runtime      string `json:"v1Runtime"`
	V1CipherBytes  int    `json:"v1CiphertextBytes"`
	V1TamperedCode string `json:"v1TamperedCode"`
}

func main() {
	socket := flag.String("socket", "", "path of the plugin's socket")
	authority := flag.String("authority", "localhost", "localhost (v2 since Kubernetes 1.32) or default (before, and v1beta1)")
	flag.Parse()

	r := &result{}
	if err := run(*socket, *authority, r); err != nil {
		r.Error = err.Error()
	}
	r.OK = r.Error == ""
	_ = json.NewEncoder(os.Stdout).Encode(r)
	if !r.OK {
		os.Exit(1)
	}
}

func run(socket, authority string, r *result) error {
	if !strings.HasPrefix(socket, "/") {
		return fmt.Errorf("-socket: wanted an absolute path, got %q", socket)
	}
	connection, err := dial(socket, authority)
	if err != nil {
		return err
	}
	defer connection.Close()
	seed := make([]byte, seedBytes)
	if _, err := rand.Read(seed); err != nil {
		return err
	}
	if err := roundTripV2(v2.NewKeyManagementServiceClient(connection), seed, r); err != nil {
		return fmt.Errorf("v2: %w", err)
	}
	if err := roundTripV1(v1beta1.NewKeyManagementServiceClient(connection), seed, r); err != nil {
		return fmt.Errorf("v1beta1: %w", err)
	}
	return nil
}

func dial(socket, authority string) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			return net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
		}),
	}
	switch authority {
	case "localhost":
		options = append(options, grpc.WithAuthority("localhost"))
	case "default":
		// grpc-go makes one of the target: the percent-encoded path.
	default:
		return nil, fmt.Errorf("-authority: wanted localhost or default, got %q", authority)
	}
	return grpc.NewClient("passthrough:///"+socket, options...)
}

func roundTripV2(client v2.KeyManagementServiceClient, seed []byte, r *result) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	state, err := client.Status(ctx, &v2.StatusRequest{})
	if err != nil {
		return fmt.Errorf("Status: %w", err)
	}
	r.Version, r.Healthz, r.KeyID = state.Version, state.Healthz, state.KeyId
	if state.Healthz != "ok" || state.KeyId == "" {
		return fmt.Errorf("Status: wanted ok and a key id, got %q and %q", state.Healthz, state.KeyId)
	}
	made, err := client.Encrypt(ctx, &v2.EncryptRequest{Plaintext: seed, Uid: "go-client"})
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	r.CipherBytes, r.Annotations = len(made.Ciphertext), len(made.Annotations)
	if made.KeyId != state.KeyId {
		return fmt.Errorf("Encrypt: wanted the key id of Status %q, got %q", state.KeyId, made.KeyId)
	}
	request := &v2.DecryptRequest{
		Ciphertext: made.Ciphertext, Uid: "go-client", KeyId: made.KeyId, Annotations: made.Annotations,
	}
	opened, err := client.Decrypt(ctx, request)
	if err != nil {
		return fmt.Errorf("Decrypt: %w", err)
	}
	if !bytes.Equal(opened.Plaintext, seed) {
		return fmt.Errorf("Decrypt: gave back other bytes")
	}
	request.KeyId += "-other"
	_, err = client.Decrypt(ctx, request)
	r.ForeignKeyID = status.Code(err).String()
	return nil
}

func roundTripV1(client v1beta1.KeyManagementServiceClient, seed []byte, r *result) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	version, err := client.Version(ctx, &v1beta1.VersionRequest{Version: "v1beta1"})
	if err != nil {
		return fmt.Errorf("Version: %w", err)
	}
	r.V1Version, r.V1Runtime = version.Version, version.RuntimeName+" "+version.RuntimeVersion
	if version.Version != "v1beta1" {
		return fmt.Errorf("Version: wanted v1beta1, got %q", version.Version)
	}
	made, err := client.Encrypt(ctx, &v1beta1.EncryptRequest{Version: "v1beta1", Plain: seed})
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	r.V1CipherBytes = len(made.Cipher)
	request := &v1beta1.DecryptRequest{Version: "v1beta1", Cipher: made.Cipher}
	opened, err := client.Decrypt(ctx, request)
	if err != nil {
		return fmt.Errorf("Decrypt: %w", err)
	}
	if !bytes.Equal(opened.Plain, seed) {
		return fmt.Errorf("Decrypt: gave back other bytes")
	}
	request.Cipher = append([]byte(nil), made.Cipher...)
	request.Cipher[len(request.Cipher)-1] ^= 1
	_, err = client.Decrypt(ctx, request)
	r.V1TamperedCode = status.Code(err).String()
	if r.V1TamperedCode == codes.OK.String() {
		return fmt.Errorf("Decrypt: accepted a changed ciphertext")
	}
	return nil
}
