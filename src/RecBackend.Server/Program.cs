using RecBackend.Hosting;
using RecBackend.Server;

return await ServingHost.RunAsync("recbackend-server", () => ServerHost.RunAsync(args));
