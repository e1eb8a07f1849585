"""Defines the settings that every run has, whatever its contract."""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field

from stonk_pipeline.config import names
from stonk_pipeline.config.base import Seed, Settings
from stonk_pipeline.config.data import EMBEDDED, DataConfig, PreprocessStage
from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.files.roots import PathText

Stage = TypeVar("Stage", bound=Settings)


class RunConfig(Settings):
    """Settings that every run has."""

    data: DataConfig = DataConfig()
    """Which bars, and how they become windows."""
    model: ModelConfig = ModelConfig()
    """The language model."""
    comparison: ComparisonConfig = ComparisonConfig()
    """How the models are compared."""
    recipe: str | None = None
    """Name of the recipe, or of the file, that the settings began with; it is shown, and no stage is told it."""
    seed: Seed = 0
    """Seed of everything that is drawn at random, the generated bars excepted."""
    results_dir: PathText = "results"
    """Where the directories of runs are made; a relative path counts from the current folder."""
    models_dir: PathText = "models"
    """Where adapters are published, below the model's and the stock's name, and where the registry lies."""
    forecasts_dir: PathText = "forecasts"
    """Where forecasts and the forward log lie: each promotion records the log's length and head, for `verify`."""
    promotion: Literal["off", "auto", "ask"] = "auto"
    """What becomes of a finished run's last model. `auto`: it is registered, compared with the champion, and takes its
    place if the rule allows. `ask`: then a person decides in the UI. `off`: it is not registered."""
    cuda_devices: str | None = None
    """Value of CUDA_VISIBLE_DEVICES for every stage; not given: as the shell has it."""
    wait_minutes: Annotated[float, Field(ge=0, le=100_000)] = 1440.0
    """Longest wait for an accelerator that another run's stage is using."""
    beyond_memory: Literal["refuse", "warn"] = "refuse"
    """What becomes of a run whose weights, adapters and optimizer alone need more memory than this machine has. `warn`:
    it begins all the same."""
    report_to: Literal["trackio", "wandb", "mlflow", "tensorboard"] | None = None
    """An experiment tracker that the trainings report to as well; `trackio` writes into the run's directory. It changes
    no result, so that finished stages stay done with another one."""
    run_dir: PathText | None = None
    """Directory of a run to continue with these settings; not given: a new directory in `results_dir`."""

    @property
    def stock_name(self) -> str:
        """Names the stocks in files and directories; see `names`."""
        if self.data.stocks == ["all"]:
            return "EMBEDDED" if self.data.data_dir == EMBEDDED else "ALL"
        return names.stocks_name(self.data.stocks)

    @property
    def model_name(self) -> str:
        """Names the model in directories; see `names`."""
        return names.model_name(self.model.name)

    @property
    def control(self) -> str | None:
        """Says what a control run takes away; None for an ordinary run."""
        return None

    def with_data(self, **changes: Any) -> Self:
        """Lays other settings on those of the data; they are not validated anew."""
        return self.model_copy(update={"data": self.data.model_copy(update=changes)})

    def part(self, stage: type[Stage], **own: Any) -> Stage:
        """Cuts out what a stage is told: the settings of the names that it has, and what is given besides."""
        return stage(**{name: getattr(self, name) for name in stage.model_fields if name not in own}, **own)

    def preprocess_stage(self) -> PreprocessStage:
        """Returns the settings of the first stage."""
        return self.part(PreprocessStage)
