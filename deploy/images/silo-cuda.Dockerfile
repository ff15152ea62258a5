# A silo that runs models on an NVIDIA GPU. From the root of the checkout:
#   docker build -f deploy/images/silo-cuda.Dockerfile -t recbackend-silo-cuda .

ARG BASE=ubuntu:26.04

# CUDA and cuDNN of the major versions that ONNX Runtime's package was built with (Directory.Packages.props), or the silo does not start and names what it lacks.
ARG CUDA=nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04

FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates dotnet-sdk-10.0 && rm -rf /var/lib/apt/lists/*
ENV DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
WORKDIR /checkout
COPY . .
# With its own .NET: NVIDIA's base has an older Ubuntu than the other images.
RUN --mount=type=cache,target=/root/.nuget/packages \
    dotnet publish grains/RecBackend.Silo -c Release -r linux-x64 --self-contained -o /app -p:Gpu=true -p:RunAnalyzers=false

FROM ${CUDA}
# libicu is .NET's; libturbojpeg and libpng decode pictures of items.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libicu74 libpng16-16t64 libturbojpeg tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin recbackend \
    && install -d -o 10001 -g 10001 /var/lib/recbackend
COPY --from=build /app /app
ENV ASPNETCORE_HTTP_PORTS=8080 DOTNET_EnableDiagnostics=0 RecBackend__State=/var/lib/recbackend RecBackend__Scoring__Provider=cuda
VOLUME /var/lib/recbackend
EXPOSE 8080 11111
USER 10001
ENTRYPOINT ["/app/RecBackend.Silo"]
