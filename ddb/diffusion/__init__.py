"""Stage A of the paper: the class-conditional diffusion model (CDPM) and the synthetic images drawn from it.

`settings` what can be chosen, `process` noise schedules, `network` the UNet with a null class, `train` and `engine` its
training, `pipeline` the saved form and guided sampling, `synthetic` the image sets.
"""
