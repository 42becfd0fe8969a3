"""The options that a command or a function takes, where it does not take all of a search, by their names."""

HELP_OF_IMAGES = {"seed": "Random seed for the noise and the choice of images."}
"""Help of options that mean less where nothing is searched: option → help."""

IMAGE_OPTIONS = (
    "dataset",
    "data_root",
    "skip_unreadable",
    "backbone",
    "precision",
    "image_side",
    "prompt",
    "taps_inside",
    "seed",
)
"""Options of everything that reads features of images."""

SCREENING_OPTIONS = (*IMAGE_OPTIONS, "space", "blocks", "timesteps", "pools", "home", "storage")
"""Options of `search recommend`."""

TRY_OPTIONS = (
    *IMAGE_OPTIONS,
    "name",
    "space",
    "blocks",
    "timesteps",
    "pools",
    "heads",
    "draws",
    "taps",
    "validation_fraction",
    "folds",
    "shots",
    "flips",
    "balanced",
    "metric",
    "objectives",
    "finalists",
    "final_seeds",
    "workers",
    "gpus_per_trial",
    "gpu_type",
    "ray_address",
    "cache_size",
    "notify",
    "on_finish",
    "home",
    "storage",
)
"""Options of `search try`."""

CKA_OPTIONS = (*IMAGE_OPTIONS, "blocks", "timesteps", "home")
"""Options of `search cka`."""

FEATURE_OPTIONS = (*IMAGE_OPTIONS, "space", "validation_fraction", "folds", "shots", "cache_size", "home")
"""Options of `search.features`."""

KEPT = (
    "dataset",
    "data_root",
    "trials",
    "backbone",
    "sampler",
    "seed",
    "shots",
    "flips",
    "balanced",
    "folds",
    "finalists",
    "final_seeds",
    "workers",
    "gpus_per_trial",
    "precision",
    "image_side",
    "prompt",
    "taps_inside",
    "skip_unreadable",
    "cache_size",
    "warm_start",
)
"""Options that the study database keeps under their own names."""
