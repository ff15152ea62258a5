# A silo that runs models on the processor. From the root of the checkout:
#   docker build -f deploy/images/silo.Dockerfile -t recbackend-silo .

# Ubuntu has .NET 10 in its own archive, for every architecture.
ARG BASE=ubuntu:26.04

FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates dotnet-sdk-10.0 && rm -rf /var/lib/apt/lists/*
ENV DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
WORKDIR /checkout
COPY . .
RUN --mount=type=cache,target=/root/.nuget/packages dotnet publish grains/RecBackend.Silo -c Release -o /app -p:RunAnalyzers=false

FROM ${BASE}
# libturbojpeg and libpng decode pictures of items.
RUN apt-get update \
    && apt-get install -y --no-install-recommends aspnetcore-runtime-10.0 ca-certificates libpng16-16t64 libturbojpeg tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin recbackend \
    && install -d -o 10001 -g 10001 /var/lib/recbackend
COPY --from=build /app /app
ENV ASPNETCORE_HTTP_PORTS=8080 DOTNET_EnableDiagnostics=0 RecBackend__State=/var/lib/recbackend
VOLUME /var/lib/recbackend
EXPOSE 8080 11111
USER 10001
ENTRYPOINT ["dotnet", "/app/RecBackend.Silo.dll"]
