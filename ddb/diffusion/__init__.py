"""Stage A of the paper: the class-conditional diffusion model (CDPM) and the synthetic images drawn from it.

`settings` what can be chosen; `denoisers`, `noise_schedules`, `samplers` the parts; `train` and `engine` the training;
`pipeline` the saved form and guided sampling; `synthetic` the image sets; `probe` how biased they are.
"""
