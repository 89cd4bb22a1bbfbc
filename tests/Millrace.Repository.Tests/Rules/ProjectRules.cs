using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace Millrace.Repository.Tests.Rules;

/// <summary>Every project is in the solution, takes its versions from the central table and pins them in a lock file.</summary>
internal static partial class ProjectRules
{
    private static readonly string[] s_trimmable = ["Millrace.Kafka.Records", "Millrace.Kafka.Protocol", "Millrace.Kafka"];

    private static readonly string[] s_suppressions =
        ["UnconditionalSuppressMessage", "RequiresUnreferencedCode", "RequiresDynamicCode", "pragma warning disable IL"];

    public static IEnumerable<string> SolutionViolations(RepositoryFiles files)
    {
        HashSet<string> inSolution = XDocument.Parse(files.TextByPath["Millrace.slnx"])
            .Descendants("Project")
            .Select(project => project.Attribute("Path")!.Value)
            .ToHashSet(StringComparer.Ordinal);
        HashSet<string> onDisk = files.Under(".csproj").Select(file => file.Path).ToHashSet(StringComparer.Ordinal);
        return
        [
            .. onDisk.Except(inSolution, StringComparer.Ordinal).Select(path => $"{path} is missing from Millrace.slnx."),
            .. inSolution.Except(onDisk, StringComparer.Ordinal).Select(path => $"Millrace.slnx names {path}, which does not exist."),
        ];
    }

    public static IEnumerable<string> VersionViolations(RepositoryFiles files)
    {
        string central = files.TextByPath["Directory.Packages.props"];
        HashSet<string> pinned = PackageVersion().Matches(central).Select(match => match.Groups[1].Value)
            .ToHashSet(StringComparer.Ordinal);
        if (!central.Contains("<CentralPackageTransitivePinningEnabled>true<", StringComparison.Ordinal))
        {
            yield return "Directory.Packages.props: transitive pinning is off.";
        }

        foreach ((string path, string text) in files.Under(".csproj").Concat(files.Under(".props")))
        {
            foreach (XElement reference in XDocument.Parse(text).Descendants("PackageReference"))
            {
                string package = reference.Attribute("Include")?.Value ?? reference.Attribute("Update")?.Value ?? "";
                if (reference.Attribute("Version") is not null || reference.Attribute("VersionOverride") is not null
                    || reference.Element("Version") is not null)
                {
                    yield return $"{path}: the version of {package} belongs in Directory.Packages.props.";
                }

                if (!pinned.Contains(package))
                {
                    yield return $"{path}: {package} has no version in Directory.Packages.props.";
                }
            }
        }
    }

    /// <summary>What an application that is trimmed or compiled ahead of time takes in. With <c>IsAotCompatible</c> the analyzers for both run, and their warnings are errors as all are.</summary>
    public static IEnumerable<string> TrimmingViolations(RepositoryFiles files)
    {
        foreach ((string path, string text) in files.Under(".csproj", "src"))
        {
            bool mustBeTrimmable = s_trimmable.Contains(Path.GetFileNameWithoutExtension(path));
            foreach (string property in mustBeTrimmable ? (string[])["IsTrimmable", "IsAotCompatible"] : [])
            {
                if (XDocument.Parse(text).Descendants(property).SingleOrDefault()?.Value != "true")
                {
                    yield return $"{path}: {property} is not true.";
                }
            }
        }

        if (!files.TextByPath["Directory.Build.props"].Contains("<TreatWarningsAsErrors>true<", StringComparison.Ordinal))
        {
            yield return "Directory.Build.props: warnings are not errors, those about trimming included.";
        }

        foreach ((string path, string text) in files.Under(".cs", "src").Where(file => s_trimmable.Contains(file.Path.Split('/')[1])))
        {
            string? forbidden = s_suppressions.FirstOrDefault(suppression => text.Contains(suppression, StringComparison.Ordinal));
            if (forbidden is not null)
            {
                yield return $"{path}: '{forbidden}' keeps a warning about trimming from being heard.";
            }
        }
    }

    public static IEnumerable<string> LockFileViolations(RepositoryFiles files)
    {
        if (!files.TextByPath["Directory.Build.props"].Contains("<RestorePackagesWithLockFile>true<", StringComparison.Ordinal))
        {
            yield return "Directory.Build.props: lock files are off.";
        }

        foreach ((string path, _) in files.Under(".csproj"))
        {
            string lockFile = path[..(path.LastIndexOf('/') + 1)] + "packages.lock.json";
            if (!files.TextByPath.ContainsKey(lockFile))
            {
                yield return $"{lockFile} is missing; restore and commit it.";
            }
        }
    }

    [GeneratedRegex("<PackageVersion Include=\"([^\"]+)\"")]
    private static partial Regex PackageVersion();
}
