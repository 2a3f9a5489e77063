"""Our indexes beside other libraries', on anybody's vectors. Imports no peer until it is called."""

from magnetite.bench.data import Data, load
from magnetite.bench.dense import Options, Report, Row, run, summary

__all__ = ["Data", "Options", "Report", "Row", "load", "run", "summary"]
