using System.Diagnostics.CodeAnalysis;
using RecBackend.Http.Cluster;

namespace RecBackend.Gateway.Cluster;

/// <summary>What the gateway needs to know of a silo.</summary>
/// <param name="Name">Its name; the gateway's own health shows it.</param>
/// <param name="Address">Where requests are sent.</param>
/// <param name="Scores">Whether it holds the catalogue and the model.</param>
/// <param name="Ready">Whether it does what its roles ask.</param>
/// <param name="Draining">Whether it is about to stop.</param>
internal sealed record Silo(string Name, Uri Address, bool Scores, bool Ready, bool Draining)
{
    /// <summary>Reads a base URL.</summary>
    public static bool TryReadAddress(string? text, [NotNullWhen(true)] out Uri? address) =>
        Uri.TryCreate(text, UriKind.Absolute, out address) && address.Scheme is "http" or "https";

    /// <summary>The silos of a reply that requests can be sent to, in order of name: those with an address and a role that this gateway knows. Each name is there once.</summary>
    public static IReadOnlyList<Silo> Of(ClusterReply reply)
    {
        var silos = new SortedDictionary<string, Silo>(StringComparer.OrdinalIgnoreCase);
        foreach (var silo in reply.Silos)
        {
            var scores = silo.Roles.Contains(SiloRoles.Scoring);
            if (!TryReadAddress(silo.Address, out var address) || !(scores || silo.Roles.Contains(SiloRoles.Entity)))
            {
                continue;
            }

            // Silos of one machine may bear its name; to YARP a name is a destination.
            var name = silo.Name;
            for (var number = 2; silos.ContainsKey(name); number++)
            {
                name = $"{silo.Name} ({number})";
            }

            silos[name] = new Silo(name, address, scores, silo.Ready, silo.Draining);
        }

        return [.. silos.Values];
    }
}
