"""The forecast contract: recent closes and indicators in, the closes of the next days out."""
