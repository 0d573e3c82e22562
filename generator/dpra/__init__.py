"""dpra: GitHub Actions workflows that implement AWS's Deployment Pipeline Reference Architecture, from one dpra.yml."""

__version__ = "0.1.0"
