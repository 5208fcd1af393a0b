# syntax=docker/dockerfile:1
#
#   docker build -t vizcore .                                                                   CPU
#   docker build -t vizcore --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .    NVIDIA GPU
#
#   docker run --rm -p 127.0.0.1:5006:5006 -v vizcore:/data vizcore            (GPU: add --gpus all)
#
# Then open http://localhost:5006.  Runs and downloaded weights are kept in the volume.

ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
# torch and torchvision come as a pair from one index: the CPU files are a tenth of the size of the CUDA ones.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/vizcore
ENV PATH=/opt/vizcore/bin:$PATH
RUN pip install --index-url "${TORCH_INDEX}" "torch>=2.10" torchvision
WORKDIR /src
COPY . .
RUN pip install .

FROM python:${PYTHON}-slim
COPY --from=build /opt/vizcore /opt/vizcore
RUN useradd --create-home --uid 1000 vizcore && install -d -o vizcore -g vizcore /data
ENV PATH=/opt/vizcore/bin:$PATH PYTHONUNBUFFERED=1 VIZCORE_HOME=/data
USER vizcore
WORKDIR /home/vizcore
# /data/runs and /data/weights; -v FOLDER:/data/weights shares the weights alone.
VOLUME /data
EXPOSE 5006
# /healthz, never the page: a request for the page builds a session.
HEALTHCHECK --interval=15s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5006/healthz', timeout=2)"]
# Inside the container every address is public to it; -p 127.0.0.1:5006:5006 keeps it on this machine.
CMD ["vizcore", "serve", "--address", "0.0.0.0", "--port", "5006", "--insecure"]
