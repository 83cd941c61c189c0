"""TLS on loopback. kubectl sends no token over plain HTTP, and API servers call kubelets only over HTTPS."""

import ssl

import trustme


def loopback_tls() -> tuple[ssl.SSLContext, bytes]:
    """A server's context for 127.0.0.1, and the certificate (PEM) of the authority that signed it."""
    authority = trustme.CA(organization_name="localcluster")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context, authority.cert_pem.bytes()
