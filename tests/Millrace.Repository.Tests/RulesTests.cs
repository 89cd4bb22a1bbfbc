using Millrace.Repository.Tests.Rules;

namespace Millrace.Repository.Tests;

/// <summary>Every rule holds for this repository, and every rule catches a repository that breaks it.</summary>
public sealed class RulesTests
{
    private static readonly Lazy<RepositoryFiles> s_repository = new(RepositoryFiles.Load);

    private static readonly Dictionary<string, Func<RepositoryFiles, IEnumerable<string>>> s_rules = new(StringComparer.Ordinal)
    {
        ["Projects reference only what the layers allow"] = ReferenceTable.Violations,
        ["Every project is in the solution"] = ProjectRules.SolutionViolations,
        ["Versions are central"] = ProjectRules.VersionViolations,
        ["Lock files are there"] = ProjectRules.LockFileViolations,
        ["The client can be trimmed"] = ProjectRules.TrimmingViolations,
        ["No plans, leftovers, machine paths, registries or sleeps"] = WordRules.Violations,
        ["Log event ids are unique"] = LogEventRules.Violations,
        ["Log event bands belong to one project"] = LogEventRules.BandViolations,
        ["Files fit their lengths"] = PageRules.LengthViolations,
        ["Links lead somewhere"] = PageRules.LinkViolations,
        ["The index lists every page"] = PageRules.IndexViolations,
        ["The changelog begins with what is unreleased"] = PageRules.ChangelogViolations,
    };

    public static TheoryData<string> Rules => [.. s_rules.Keys];

    /// <summary>The rule, a file that breaks it, and a part of the message that says so.</summary>
    public static TheoryData<string, string, string, string> Breaches => new()
    {
        { "Projects reference only what the layers allow", "src/Millrace.Log/Millrace.Log.csproj", Project("../Millrace.Kafka.Protocol/Millrace.Kafka.Protocol.csproj"), "may not reference Millrace.Kafka.Protocol" },
        { "Projects reference only what the layers allow", "src/Millrace.Cli/Millrace.Cli.csproj", Project("../Millrace.Testing/Millrace.Testing.csproj"), "may not reference Millrace.Testing" },
        { "Projects reference only what the layers allow", "src/Millrace.Common/Millrace.Common.csproj", "<Project />", "has no row" },
        { "Projects reference only what the layers allow", "src/Tools/Millrace.Cli.csproj", "<Project />", "a folder of its own name" },
        { "Projects reference only what the layers allow", "src/Millrace.Abstractions/Millrace.Abstractions.csproj", "<Project><PackageReference Include=\"IronSnappy\" /></Project>", "no dependency" },
        { "Every project is in the solution", "src/Millrace.New/Millrace.New.csproj", "<Project />", "missing from Millrace.slnx" },
        { "Every project is in the solution", "Millrace.slnx", "<Solution><Project Path=\"src/Gone/Gone.csproj\" /></Solution>", "src/Gone/Gone.csproj, which does not exist" },
        { "Versions are central", "src/Millrace.Log/Millrace.Log.csproj", "<Project><PackageReference Include=\"IronSnappy\" Version=\"1.3.0\" /></Project>", "belongs in Directory.Packages.props" },
        { "Versions are central", "src/Millrace.Log/Millrace.Log.csproj", "<Project><PackageReference Include=\"Unknown\" /></Project>", "has no version" },
        { "Versions are central", "Directory.Packages.props", "<Project />", "transitive pinning is off" },
        { "Lock files are there", "src/Millrace.New/Millrace.New.csproj", "<Project />", "src/Millrace.New/packages.lock.json is missing" },
        { "Lock files are there", "Directory.Build.props", "<Project />", "lock files are off" },
        { "The client can be trimmed", "src/Millrace.Kafka/Millrace.Kafka.csproj", "<Project><PropertyGroup><IsTrimmable>true</IsTrimmable></PropertyGroup></Project>", "IsAotCompatible is not true" },
        { "The client can be trimmed", "src/Millrace.Kafka.Records/Millrace.Kafka.Records.csproj", "<Project><PropertyGroup><IsAotCompatible>true</IsAotCompatible></PropertyGroup></Project>", "IsTrimmable is not true" },
        { "The client can be trimmed", "src/Millrace.Kafka/A.cs", "[UnconditionalSuppressMessage(\"Trimming\", \"IL2026\")]", "keeps a warning about trimming from being heard" },
        { "The client can be trimmed", "Directory.Build.props", "<Project />", "warnings are not errors" },
        { "No plans, leftovers, machine paths, registries or sleeps", "src/A.cs", "// TODO: later", "'TODO' is a leftover" },
        { "No plans, leftovers, machine paths, registries or sleeps", "src/A.cs", "// one replica for now", "'for now' is a leftover" },
        { "No plans, leftovers, machine paths, registries or sleeps", "docs/a.md", "comes in milestone B", "'milestone' is a plan" },
        { "No plans, leftovers, machine paths, registries or sleeps", "src/A.cs", "// see issue 2", "'issue 2' is a plan" },
        { "No plans, leftovers, machine paths, registries or sleeps", "test.sh", "cd /home/someone/millrace", "is a path of one machine" },
        { "No plans, leftovers, machine paths, registries or sleeps", "nuget.config", "https://packages.example/index.json", "is a registry's address" },
        { "No plans, leftovers, machine paths, registries or sleeps", "tests/A.cs", "await Task.Delay(100);", "is a sleep" },
        { "No plans, leftovers, machine paths, registries or sleeps", "tests/A.cs", "// Real time: why.\nFirst();\nawait Task.Delay(100);", "is a sleep" },
        { "Log event ids are unique", "src/Millrace.Log/LogMessages.cs", Message(1001) + Message(1001), "event id 1001 is used 2 times" },
        { "Log event ids are unique", "src/Millrace.Log/LogMessages.cs", Message(1002) + Message(1001), "do not rise" },
        { "Log event ids are unique", "src/Millrace.Log/LogMessages.cs", "[LoggerMessage(Level = LogLevel.Debug)]", "0 of them with an explicit event id" },
        { "Log event ids are unique", "src/Millrace.Log/LogDirectory.cs", Message(1001), "belong in the project's LogMessages.cs" },
        { "Log event ids are unique", "src/Millrace.Log/Storage/LogMessages.cs", Message(1001), "at the root of its project" },
        { "Log event bands belong to one project", "src/Other/LogMessages.cs", Message(1999), "Event ids 1000 to 1999 are used by" },
        { "Files fit their lengths", "src/A.cs", new string('\n', PageRules.MaximumCodeLineCount + 1), "src/A.cs has 801 lines" },
        { "Files fit their lengths", "README.md", new string('\n', PageRules.MaximumReadmeLineCount + 1), "README.md has 151 lines" },
        { "Links lead somewhere", "docs/a.md", "[b](b.md)", "leads nowhere" },
        { "Links lead somewhere", "docs/a.md", "# Some heading\n[b](#other-heading)", "has no heading" },
        { "The index lists every page", "docs/guides/b.md", "# B", "does not list docs/guides/b.md" },
        { "The changelog begins with what is unreleased", "CHANGELOG.md", "# Changelog\n## 0.1.0\n## Unreleased\n", "stands on top" },
    };

    [Theory]
    [MemberData(nameof(Rules))]
    public void The_repository_keeps_the_rule(string rule)
        => Assert.Empty(s_rules[rule](s_repository.Value));

    [Theory]
    [MemberData(nameof(Breaches))]
    public void A_repository_that_breaks_the_rule_is_caught(string rule, string path, string text, string expected)
    {
        Dictionary<string, string> sound = Sound();
        Assert.Empty(s_rules[rule](new RepositoryFiles(sound)));

        sound[path] = text;

        Assert.Contains(s_rules[rule](new RepositoryFiles(sound)), violation => violation.Contains(expected, StringComparison.Ordinal));
    }

    /// <summary>The smallest repository that keeps every rule.</summary>
    private static Dictionary<string, string> Sound() => new(StringComparer.Ordinal)
    {
        ["Millrace.slnx"] = "<Solution><Project Path=\"src/Millrace.Log/Millrace.Log.csproj\" /></Solution>",
        ["Directory.Build.props"] = "<Project><PropertyGroup><RestorePackagesWithLockFile>true</RestorePackagesWithLockFile><TreatWarningsAsErrors>true</TreatWarningsAsErrors></PropertyGroup></Project>",
        ["Directory.Packages.props"] = "<Project><PropertyGroup><CentralPackageTransitivePinningEnabled>true</CentralPackageTransitivePinningEnabled></PropertyGroup><PackageVersion Include=\"IronSnappy\" Version=\"1.3.0\" /></Project>",
        ["src/Millrace.Log/Millrace.Log.csproj"] = Project("../Millrace.Kafka.Records/Millrace.Kafka.Records.csproj"),
        ["src/Millrace.Log/packages.lock.json"] = "{}",
        ["src/Millrace.Log/LogMessages.cs"] = Message(1001) + Message(1002),
        ["README.md"] = "# Millrace\n[docs](docs/README.md#pages)\n",
        ["docs/README.md"] = "# Docs\n## Pages\n[a](a.md)\n",
        ["tests/Sound.cs"] = "await Task.Delay(Timeout.Infinite, token);\n// Real time: a callback that is slow.\nawait Task.Delay(100);\n",
        ["docs/a.md"] = "# A page\n[up](../README.md)\n[here](#a-page)\n",
        ["CHANGELOG.md"] = "# Changelog\n\n## Unreleased\n\n## 0.1.0\n",
    };

    private static string Project(string reference) => $"<Project><ItemGroup><ProjectReference Include=\"{reference}\" /></ItemGroup></Project>";

    private static string Message(int eventId) => $"[LoggerMessage({eventId}, LogLevel.Information, \"Text.\")]\npublic static partial void Text(ILogger logger);\n";
}
