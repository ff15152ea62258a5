namespace RecBackend.Grains.Hosting;

/// <summary>The time that users and items go by. Not the silo's own: what Orleans decides by time, such as which silo is alive, is not for a test to set.</summary>
internal sealed record EngineClock(TimeProvider Time);
