"""Optuna's own tables. Optuna has no public way to change or read many rows in one transaction.

A database of another schema of Optuna is refused when it is opened. A test compares every row that is written here with
the rows that Optuna writes.
"""

from optuna.storages._rdb import models
from sqlalchemy import Table

STUDIES: Table = models.StudyModel.__table__
STUDY_USER_ATTRIBUTES: Table = models.StudyUserAttributeModel.__table__
TRIALS: Table = models.TrialModel.__table__
PARAMS: Table = models.TrialParamModel.__table__
VALUES: Table = models.TrialValueModel.__table__
EPOCHS: Table = models.TrialIntermediateValueModel.__table__
USER_ATTRIBUTES: Table = models.TrialUserAttributeModel.__table__
SYSTEM_ATTRIBUTES: Table = models.TrialSystemAttributeModel.__table__

to_stored_value = models.TrialValueModel.value_to_stored_repr
from_stored_value = models.TrialValueModel.stored_repr_to_value
to_stored_epoch = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
from_stored_epoch = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
