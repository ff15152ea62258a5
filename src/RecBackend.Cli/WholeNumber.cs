using System.CommandLine;
using System.Globalization;

namespace RecBackend.Cli;

/// <summary>An option that takes a whole number between two bounds.</summary>
internal static class WholeNumber
{
    public static Option<int> Option(string name, string description, int defaultValue, int least, int most) => new(name)
    {
        Description = description,
        DefaultValueFactory = _ => defaultValue,
        CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most)
            {
                return number;
            }

            result.AddError($"{name} '{text}' is not a whole number {(most == int.MaxValue ? $"of at least {least}" : $"between {least} and {most}")}");
            return defaultValue;
        },
    };
}
