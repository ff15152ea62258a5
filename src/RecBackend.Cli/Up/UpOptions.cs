namespace RecBackend.Cli.Up;

/// <summary>What <c>rec up</c> was asked for, with paths made absolute.</summary>
/// <param name="Data">Folder of the data set.</param>
/// <param name="Bundle">The bundle: folder or zip.</param>
/// <param name="Port">The gateway's port.</param>
/// <param name="State">Folder of everything that outlives the command.</param>
/// <param name="Silos">Silos of a cluster; 0 = the embedded engine.</param>
internal sealed record UpOptions(string Data, string Bundle, int Port, string State, int Silos = 0);
