module trousseau.io/test/cluster/go/openshift-api

go 1.25.0

require github.com/openshift/api v0.0.0-20260709102940-580f1c1ba691
