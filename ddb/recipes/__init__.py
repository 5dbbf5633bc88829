"""Stage B of the paper: what the Bias Amplifier's mistakes are turned into, and the losses that use them."""
