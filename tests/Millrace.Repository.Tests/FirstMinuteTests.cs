using System.Text.Json;
using System.Xml.Linq;

namespace Millrace.Repository.Tests;

/// <summary>
/// The README's first minute, done as it says: packages from a folder, a console program outside the repository, the
/// README's program pasted, and what it prints compared with what the README shows.
/// </summary>
public sealed class FirstMinuteTests
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromMinutes(4);

    private static readonly Dictionary<string, string> s_environment = new(StringComparer.Ordinal)
    {
        ["DOTNET_NOLOGO"] = "1",
        ["DOTNET_CLI_TELEMETRY_OPTOUT"] = "1",
        // No build server may outlive the test and hold its pipes.
        ["MSBUILDDISABLENODEREUSE"] = "1",
        ["DOTNET_CLI_USE_MSBUILD_SERVER"] = "0",
        ["UseSharedCompilation"] = "false",
    };

    [Fact]
    public async Task The_first_minute_of_the_readme_prints_what_it_says()
    {
        (string program, string[] expected) = ReadReadme();
        using TemporaryFolder folder = new();
        string feed = await PackAsync(folder);
        string application = await CreateApplicationAsync(folder, feed);
        await File.WriteAllTextAsync(Path.Combine(application, "Program.cs"), program);

        string printed = await DotnetAsync(application, folder, "run");

        Assert.Equal(expected, Lines(printed));
        AssertCameFromFeed(folder, feed);
    }

    /// <summary>The first C# block and the text block after it, which shows what the program prints.</summary>
    private static (string Program, string[] Expected) ReadReadme()
    {
        Fence[] fences = [.. Fences.In("README.md", File.ReadAllText(Path.Combine(RepositoryFiles.Root, "README.md")))];
        int program = Array.FindIndex(fences, fence => fence.Language is "csharp");
        Assert.True(program >= 0, "README.md has no C# block.");
        Fence? output = fences.Skip(program).FirstOrDefault(fence => fence.Language is "text");
        Assert.True(output is not null, "README.md does not show what its program prints, in a block marked 'text'.");
        return (fences[program].Text, Lines(output.Text));
    }

    /// <summary>Every package of src/ as a folder feed.</summary>
    private static async Task<string> PackAsync(TemporaryFolder folder)
    {
        string feed = Directory.CreateDirectory(folder.File("feed")).FullName;
        string[] projects = Directory.GetFiles(Path.Combine(RepositoryFiles.Root, "src"), "*.csproj", SearchOption.AllDirectories);
        XElement solution = new("Solution", projects.Select(project => new XElement("Project", new XAttribute("Path", project))));
        await File.WriteAllTextAsync(folder.File("Packages.slnx"), solution.ToString());
        await ProcessRun.RequireAsync(
            "dotnet", ["pack", "Packages.slnx", "-c", "Release", "-o", feed, "-v", "quiet"], folder.Path, s_deadline, s_environment);
        Assert.Equal(projects.Length, Directory.GetFiles(feed, "*.nupkg").Length);
        return feed;
    }

    private static async Task<string> CreateApplicationAsync(TemporaryFolder folder, string feed)
    {
        await DotnetAsync(folder.Path, folder, "new", "console", "-o", "hello");
        string application = folder.File("hello");

        // Third-party packages come from the machine's cache, which the build of this repository has filled, and Millrace only from
        // the feed: the view of the cache leaves out any Millrace that an earlier run or an installation left there.
        string cache = Environment.GetEnvironmentVariable("NUGET_PACKAGES")
            ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");
        string others = Directory.CreateDirectory(folder.File("others")).FullName;
        foreach (DirectoryInfo package in new DirectoryInfo(cache).EnumerateDirectories()
            .Where(package => !package.Name.StartsWith("millrace", StringComparison.OrdinalIgnoreCase)))
        {
            Directory.CreateSymbolicLink(Path.Combine(others, package.Name), package.FullName);
        }

        XElement configuration = new(
            "configuration",
            new XElement("packageSources", new XElement("clear"), Add("feed", feed)),
            new XElement("fallbackPackageFolders", new XElement("clear"), Add("others", others)));
        await File.WriteAllTextAsync(Path.Combine(application, "nuget.config"), configuration.ToString());

        await DotnetAsync(application, folder, "add", "package", "Millrace");
        return application;

        static XElement Add(string key, string value) => new("add", new XAttribute("key", key), new XAttribute("value", value));
    }

    private static void AssertCameFromFeed(TemporaryFolder folder, string feed)
    {
        string[] packages = Directory.GetDirectories(folder.File("packages"), "millrace*");
        Assert.Contains(packages, package => Path.GetFileName(package) is "millrace");
        foreach (string metadata in packages.SelectMany(
            package => Directory.GetFiles(package, ".nupkg.metadata", SearchOption.AllDirectories)))
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllText(metadata));
            Assert.Equal(feed, document.RootElement.GetProperty("source").GetString());
        }
    }

    private static Task<string> DotnetAsync(string directory, TemporaryFolder folder, params string[] arguments)
        => ProcessRun.RequireAsync("dotnet", arguments, directory, s_deadline, new Dictionary<string, string>(s_environment, StringComparer.Ordinal)
        {
            ["NUGET_PACKAGES"] = folder.File("packages"),
        });

    private static string[] Lines(string text)
        => [.. text.Split('\n').Select(line => line.TrimEnd()).Where(line => line.Length > 0)];
}
