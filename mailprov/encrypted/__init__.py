"""Secrets that stand in a repository, where nobody reads them: age texts and files, and files of SOPS."""
