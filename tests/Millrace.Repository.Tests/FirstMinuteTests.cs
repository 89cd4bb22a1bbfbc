using System.Reflection;
using System.Text.Json;
using System.Xml.Linq;

namespace Millrace.Repository.Tests;

/// <summary>
/// The README's first minute, done as it says: packages from a folder, a console program outside the repository, the
/// README's program pasted, and what it prints compared with what the README shows.
/// </summary>
public sealed class FirstMinuteTests
{
    // The packages are those that the build of these tests has just built.
    private static readonly string s_configuration = typeof(FirstMinuteTests).Assembly.GetCustomAttribute<AssemblyConfigurationAttribute>()!.Configuration;

    private static readonly TimeSpan s_deadline = TimeSpan.FromMinutes(10);

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
        Readme readme = Readme.Load();
        using TemporaryFolder folder = new();
        string feed = await PackAsync(folder);
        string application = await CreateApplicationAsync(folder, feed);
        await File.WriteAllTextAsync(Path.Combine(application, "Program.cs"), readme.Program);

        Assert.Equal(readme.Printed, Lines(await DotnetAsync(application, folder, "run")));
        AssertCameFromFeed(folder, feed);

        ProcessRun crash = await ProcessRun.RunAsync("dotnet", ["run", "--", "crash"], application, s_deadline, EnvironmentOf(folder));
        Assert.NotEqual(0, crash.ExitCode);
        Assert.Equal(readme.Printed[..1], Lines(crash.Output));
        // What was handled in the last moments before the crash may come again, as the README says.
        string[] resumed = Lines(await DotnetAsync(application, folder, "run"));
        Assert.Equal(readme.PrintedAfterCrash, resumed[Math.Max(0, resumed.Length - readme.PrintedAfterCrash.Length)..]);
        Assert.InRange(resumed.Length, readme.PrintedAfterCrash.Length, readme.PrintedAfterCrash.Length + 1);
    }

    /// <summary>Every package of src/ as a folder feed.</summary>
    private static async Task<string> PackAsync(TemporaryFolder folder)
    {
        string feed = Directory.CreateDirectory(folder.File("feed")).FullName;
        string[] projects = Directory.GetFiles(Path.Combine(RepositoryFiles.Root, "src"), "*.csproj", SearchOption.AllDirectories);
        XElement solution = new("Solution", projects.Select(project => new XElement("Project", new XAttribute("Path", project))));
        await File.WriteAllTextAsync(folder.File("Packages.slnx"), solution.ToString());
        await ProcessRun.RequireAsync(
            "dotnet", ["pack", "Packages.slnx", "-c", s_configuration, "-o", feed, "-v", "quiet"], folder.Path, s_deadline, s_environment);
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
        => ProcessRun.RequireAsync("dotnet", arguments, directory, s_deadline, EnvironmentOf(folder));

    private static Dictionary<string, string> EnvironmentOf(TemporaryFolder folder)
        => new(s_environment, StringComparer.Ordinal) { ["NUGET_PACKAGES"] = folder.File("packages") };

    private static string[] Lines(string text)
        => [.. text.Split('\n').Select(line => line.TrimEnd()).Where(line => line.Length > 0)];

    /// <summary>The program, what it prints, and what it prints after a crash, as the README shows them.</summary>
    private sealed record Readme(string Program, string[] Printed, string[] PrintedAfterCrash)
    {
        public static Readme Load()
        {
            Fence[] fences = [.. Fences.In("README.md", File.ReadAllText(Path.Combine(RepositoryFiles.Root, "README.md")))];
            int program = Array.FindIndex(fences, fence => fence.Language is "csharp");
            int crash = Array.FindIndex(fences, fence => fence.Text is "dotnet run -- crash\ndotnet run\n");
            Assert.True(program >= 0 && fences[program + 1].Language is "text", "README.md has no program followed by what it prints.");
            Assert.True(crash > program && fences[crash + 1].Language is "text", "README.md has no crash followed by what is printed after it.");
            return new Readme(fences[program].Text, Lines(fences[program + 1].Text), Lines(fences[crash + 1].Text));
        }
    }
}
