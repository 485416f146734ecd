module netrpc/tls

go 1.19
