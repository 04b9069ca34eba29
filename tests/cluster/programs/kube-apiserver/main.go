// Command kube-apiserver is Kubernetes' own. It first makes the key that signs service account
// tokens, which kube-apiserver wants and does not make, in the file that the variable names.
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"log"
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	if file := os.Getenv("SERVICE_ACCOUNT_KEY"); file != "" {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			log.Fatal(err)
		}
		block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}
