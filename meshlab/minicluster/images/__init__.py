"""The image catalogue: public image names, and the programs of the same observable behaviour behind them."""
