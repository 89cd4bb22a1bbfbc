using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Millrace.LoadTest;

/// <summary>How often everything is measured, and where the files lie while it is.</summary>
internal sealed class RunSettings : IDisposable
{
    private int _lastDirectory;

    private RunSettings(int rounds, string directory)
    {
        Rounds = rounds;
        Root = Directory.CreateDirectory(Path.Combine(directory, $"millrace-load-{Environment.ProcessId}")).FullName;
    }

    /// <summary>Rounds of ours and the reference in turn; their medians are told.</summary>
    public int Rounds { get; }

    private string Root { get; }

    public static bool TryParse(string[] arguments, [NotNullWhen(true)] out RunSettings? settings, [NotNullWhen(false)] out string? error)
    {
        settings = null;
        error = null;
        int rounds = 5;
        string directory = Path.GetTempPath();
        for (int index = 0; index < arguments.Length; index += 2)
        {
            string? value = index + 1 < arguments.Length ? arguments[index + 1] : null;
            if (arguments[index] == "--rounds" && int.TryParse(value, CultureInfo.InvariantCulture, out rounds) && rounds is >= 1 and <= 1000)
            {
                continue;
            }

            if (arguments[index] == "--directory" && Directory.Exists(value))
            {
                directory = value;
                continue;
            }

            error = $"'{string.Join(' ', arguments[index..])}' is no option: give --rounds with a number from 1 to 1000, or --directory with one that exists.";
            return false;
        }

        settings = new RunSettings(rounds, directory);
        return true;
    }

    /// <summary>A new empty directory, which goes with the run.</summary>
    public string NewDirectory() => Directory.CreateDirectory(Path.Combine(Root, $"{++_lastDirectory}")).FullName;

    public void Dispose() => Directory.Delete(Root, recursive: true);
}
