using System.Reflection;

namespace Millrace.Interop.Tests;

/// <summary>A real text to send: the licence of this repository, many times over, each line with a key of its own.</summary>
internal static class Corpus
{
    private static readonly string[] s_lines = ReadLicence();

    /// <summary>The path of the licence, which programs can be given as it is.</summary>
    public static string LicencePath { get; } = FindLicence();

    /// <summary>Keys rise; the texts have indentation, empty lines and quotes as the file has them.</summary>
    public static IEnumerable<(string Key, string Text)> Lines(int count)
        => Enumerable.Range(0, count).Select(number => ($"line-{number:D6}", s_lines[number % s_lines.Length]));

    private static string[] ReadLicence() => File.ReadAllLines(FindLicence());

    private static string FindLicence()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Millrace.slnx")))
            {
                return Path.Combine(folder.FullName, "LICENSE");
            }
        }

        throw new InvalidOperationException($"No folder above {Assembly.GetExecutingAssembly().Location} holds Millrace.slnx.");
    }
}
