namespace RecBackend.Bench.Curves;

/// <summary>What <c>rec bench curves</c> is asked for.</summary>
internal sealed record CurvesOptions
{
    /// <summary>Which curves: candidates, catalog, history, users.</summary>
    public required string[] Curves { get; init; }

    /// <summary>Numbers of candidates.</summary>
    public required int[] Candidates { get; init; }

    /// <summary>Sizes of the catalogue.</summary>
    public required int[] Items { get; init; }

    /// <summary>Candidates of a request in the curve over the catalogue.</summary>
    public required int CatalogCandidates { get; init; }

    /// <summary>Lengths of history.</summary>
    public required int[] History { get; init; }

    /// <summary>Numbers of users.</summary>
    public required int[] Users { get; init; }

    /// <summary>Measured rankings at each value.</summary>
    public required int Requests { get; init; }

    /// <summary>Seed of everything random.</summary>
    public required int Seed { get; init; }

    /// <summary>File of the plot.</summary>
    public required string Plot { get; init; }

    /// <summary>Folder of the bundle.</summary>
    public required string Bundle { get; init; }

    /// <summary>Folder of the data set.</summary>
    public required string Data { get; init; }
}
