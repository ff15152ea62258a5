using System.Reflection;

namespace RecBackend.Cluster.Tests.Hosting;

/// <summary>Answers the calls of an interface by a function.</summary>
public class Fake : DispatchProxy
{
    private Func<MethodInfo, object?[], object?> _answer = null!;

    public static T Of<T>(Func<MethodInfo, object?[], object?> answer)
        where T : class
    {
        var fake = Create<T, Fake>();
        ((Fake)(object)fake)._answer = answer;
        return fake;
    }

    /// <summary>A factory of the grains that a function gives by interface and key.</summary>
    public static IGrainFactory Grains(Func<Type, object, object> grain) => Of<IGrainFactory>((method, arguments) => grain(method.GetGenericArguments()[0], arguments[0]!));

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => _answer(targetMethod!, args ?? []);
}
