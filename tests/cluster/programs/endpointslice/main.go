// Command endpointslice runs Kubernetes' own controllers of EndpointSlices, and no others.
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
	"k8s.io/kubernetes/pkg/controller/endpointslicemirroring"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how to reach kube-apiserver")
	// By default a test's changes do not wait for limits that protect large clusters.
	qps := flag.Float64("qps", 2000, "requests a second; kube-controller-manager has 20")
	burst := flag.Int("burst", 4000, "and at once; kube-controller-manager has 30")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	config.QPS, config.Burst = float32(*qps), *burst
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
	mirroring := endpointslicemirroring.NewController(
		ctx,
		all.Core().V1().Endpoints(),
		all.Discovery().V1().EndpointSlices(),
		all.Core().V1().Services(),
		1000, // addresses of a subset, kube-controller-manager's default
		client,
		0,
	)
	all.Start(ctx.Done())
	go mirroring.Run(ctx, 5)
	controller.Run(ctx, 5)
}
