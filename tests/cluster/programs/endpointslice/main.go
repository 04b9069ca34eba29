// Command endpointslice runs Kubernetes' own EndpointSlice controller, alone.
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kubernetes/pkg/controller/endpointslice"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how to reach kube-apiserver")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	// A test's changes must not wait for a limit that protects large clusters.
	config.QPS, config.Burst = 2000, 4000
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	all := informers.NewSharedInformerFactory(client, 0)
	controller := endpointslice.NewController(
		ctx,
		all.Core().V1().Pods(),
		all.Core().V1().Services(),
		all.Core().V1().Nodes(),
		all.Discovery().V1().EndpointSlices(),
		100, // endpoints per slice, kube-controller-manager's default
		client,
		0, // no batching of updates, likewise
	)
	all.Start(ctx.Done())
	controller.Run(ctx, 5)
}
