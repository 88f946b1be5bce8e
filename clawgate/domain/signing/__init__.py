"""Who signed a delivery: one small verifier per scheme, and the table of them. Ring: domain. Source: webhook-signatures.md."""
