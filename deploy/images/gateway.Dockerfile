# The gateway. From the root of the checkout:
#   docker build -f deploy/images/gateway.Dockerfile -t recbackend-gateway .

# Ubuntu has .NET 10 in its own archive, for every architecture.
ARG BASE=ubuntu:26.04

FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates dotnet-sdk-10.0 && rm -rf /var/lib/apt/lists/*
ENV DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
WORKDIR /checkout
COPY . .
RUN --mount=type=cache,target=/root/.nuget/packages dotnet publish gateway/RecBackend.Gateway -c Release -o /app -p:RunAnalyzers=false

FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends aspnetcore-runtime-10.0 ca-certificates tzdata && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin recbackend
COPY --from=build /app /app
ENV ASPNETCORE_HTTP_PORTS=8080 DOTNET_EnableDiagnostics=0
EXPOSE 8080
USER 10001
ENTRYPOINT ["dotnet", "/app/RecBackend.Gateway.dll"]
