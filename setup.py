"""Installation of keras_kd."""

import re
from pathlib import Path

from setuptools import find_packages
from setuptools import setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (ROOT / "keras_kd" / "version.py").read_text()
).group(1)

setup(
    name="keras_kd",
    version=VERSION,
    description="Distils BERT-like teachers into Keras students for a phone.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["keras_kd", "keras_kd.*", "recipes"]),
    package_data={"recipes": ["data/*"]},
    install_requires=[
        "keras>=3.15.1,<3.16",
        "keras-hub>=0.32,<0.33",
        "tensorflow>=2.21,<2.22",
        "tensorflow-text>=2.21,<2.22",
        "transformers>=5,<6",
        "tokenizers>=0.22",
        "safetensors>=0.5",
        "ai-edge-litert>=2.3,<3",
        "ai-edge-quantizer>=0.10,<0.11",
        "nltk>=3.9",
        "numpy>=2",
        "regex",
        "scipy>=1.13",
        "matplotlib>=3.9",
        "keras-tuner>=1.4.8,<2",
        "scikit-learn>=1.5",
        "tensorboard>=2.19",
        "tqdm>=4.66",
    ],
    extras_require={
        "tfds": ["tensorflow-datasets>=4.9.9", "importlib_resources"],
        "parquet": ["pyarrow>=17"],
        "beam": ["apache-beam>=2.77"],
        "test": [
            "pytest>=8",
            "tensorflow-datasets>=4.9.9",
            "importlib_resources",
            "pyarrow>=17",
            "pytest-xdist>=3.6",
            "jieba>=0.42.1",
        ],
        "chinese": ["jieba>=0.42.1"],
        "mediapipe": ["mediapipe>=1.2,<2"],
        "torch": ["torch>=2.4"],
        # For tests beside PyTorch. `make test-torch` adds TextBrewer and
        # torchdistill with --no-deps: of each the losses alone are needed.
        "parity": ["torch>=2.4"],
    },
    entry_points={"console_scripts": ["keras-kd = keras_kd.cli:main"]},
    classifiers=["License :: OSI Approved :: Apache Software License"],
)
