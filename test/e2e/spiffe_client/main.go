// Command spiffe_client asks a SPIFFE Workload API for JWT-SVIDs with go-spiffe, and prints one JSON object: what it
// got, proven by the trust domain's keys, or what went wrong.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const limit = 5 * time.Second

type svid struct {
	ID       string    `json:"id"`
	Audience []string  `json:"audience"`
	Expiry   time.Time `json:"expiry"`
	Hint     string    `json:"hint"`
}

type result struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	Code  string `json:"code"`
	SVIDs []svid `json:"svids"`
	// What a call without the standard's header is answered.
	BareCode string `json:"bareCode"`
}

func main() {
	address := flag.String("address", "", "of the Workload API, such as unix:///run/agent.sock")
	audience := flag.String("audience", "", "of the JWT-SVIDs")
	id := flag.String("id", "", "SPIFFE ID to ask for")
	jwks := flag.String("jwks", "", "file with the keys of the trust domain")
	flag.Parse()

	r := &result{SVIDs: []svid{}}
	err := run(*address, *audience, *id, *jwks, r)
	if err != nil {
		r.Error = err.Error()
	}
	r.Code = status.Code(err).String()
	r.OK = err == nil
	_ = json.NewEncoder(os.Stdout).Encode(r)
	if !r.OK {
		os.Exit(1)
	}
}

func run(address, audience, id, jwks string, r *result) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()

	bare, err := bareCode(ctx, address, audience)
	if err != nil {
		return err
	}
	r.BareCode = bare

	client, err := workloadapi.New(ctx, workloadapi.WithAddr(address))
	if err != nil {
		return err
	}
	defer client.Close()
	params := jwtsvid.Params{Audience: audience}
	if id != "" {
		if params.Subject, err = spiffeid.FromString(id); err != nil {
			return err
		}
	}
	found, err := client.FetchJWTSVIDs(ctx, params)
	if err != nil {
		return err
	}
	for _, each := range found {
		bundle, err := jwtbundle.Load(each.ID.TrustDomain(), jwks)
		if err != nil {
			return err
		}
		proven, err := jwtsvid.ParseAndValidate(each.Marshal(), bundle, []string{audience})
		if err != nil {
			return err
		}
		r.SVIDs = append(r.SVIDs, svid{proven.ID.String(), proven.Audience, proven.Expiry, each.Hint})
	}
	return nil
}

// bareCode calls without the header that the standard demands, which go-spiffe's client always sends.
func bareCode(ctx context.Context, address, audience string) (string, error) {
	target, err := workloadapi.TargetFromAddress(address)
	if err != nil {
		return "", err
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_, err = workload.NewSpiffeWorkloadAPIClient(conn).
		FetchJWTSVID(ctx, &workload.JWTSVIDRequest{Audience: []string{audience}})
	return status.Code(err).String(), nil
}
