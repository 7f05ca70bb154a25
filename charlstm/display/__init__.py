"""Everything that people see: results on stdout, all else on stderr; what a model wrote never meets Rich markup."""
