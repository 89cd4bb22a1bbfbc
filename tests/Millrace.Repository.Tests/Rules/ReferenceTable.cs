using System.Xml.Linq;

namespace Millrace.Repository.Tests.Rules;

/// <summary>Which project may reference which: the layers of the house. A project in no row may not stand in src/.</summary>
internal static class ReferenceTable
{
    private static readonly Dictionary<string, string[]> s_allowed = new(StringComparer.Ordinal)
    {
        ["Millrace.Kafka.Records"] = [],
        ["Millrace.Abstractions"] = [],
        ["Millrace.Kafka.Protocol"] = ["Millrace.Kafka.Records"],
        ["Millrace.Log"] = ["Millrace.Kafka.Records"],
        ["Millrace.Kafka"] = ["Millrace.Kafka.Protocol"],
        ["Millrace.Broker"] = ["Millrace.Kafka.Protocol", "Millrace.Log"],
        ["Millrace.Messaging"] = ["Millrace.Kafka", "Millrace.Abstractions"],
        ["Millrace.Workflows"] = ["Millrace.Messaging"],
        ["Millrace.Analyzers"] = [],
        ["Millrace"] = ["Millrace.Messaging", "Millrace.Workflows", "Millrace.Broker", "Millrace.Analyzers"],
        ["Millrace.EntityFrameworkCore"] = ["Millrace.Messaging"],
        ["Millrace.RabbitMQ"] = ["Millrace.Messaging"],
        ["Millrace.Dashboard"] = ["Millrace.Workflows"],
        ["Millrace.Testing"] = ["Millrace"],
        ["Millrace.Cli"] =
        [
            "Millrace.Kafka.Records", "Millrace.Abstractions", "Millrace.Kafka.Protocol", "Millrace.Log", "Millrace.Kafka",
            "Millrace.Broker", "Millrace.Messaging", "Millrace.Workflows", "Millrace.Analyzers", "Millrace",
            "Millrace.EntityFrameworkCore", "Millrace.RabbitMQ", "Millrace.Dashboard",
        ],
    };

    public static IEnumerable<string> Violations(RepositoryFiles files)
    {
        foreach ((string path, string text) in files.Under(".csproj", "src"))
        {
            string project = Path.GetFileNameWithoutExtension(path);
            if (!string.Equals(path, $"src/{project}/{project}.csproj", StringComparison.Ordinal))
            {
                yield return $"{path}: a project stands in src/ in a folder of its own name.";
            }

            if (!s_allowed.TryGetValue(project, out string[]? allowed))
            {
                yield return $"{path}: {project} has no row in the reference table.";
                continue;
            }

            XDocument document = XDocument.Parse(text);
            foreach (string reference in Includes(document, "ProjectReference"))
            {
                string referenced = Path.GetFileNameWithoutExtension(reference.Replace('\\', '/'));
                if (!allowed.Contains(referenced, StringComparer.Ordinal))
                {
                    yield return $"{path}: {project} may not reference {referenced}.";
                }
            }

            if (string.Equals(project, "Millrace.Abstractions", StringComparison.Ordinal)
                && Includes(document, "PackageReference").Any())
            {
                yield return $"{path}: a contracts assembly has no dependency.";
            }
        }
    }

    private static IEnumerable<string> Includes(XDocument document, string element)
        => document.Descendants(element).Select(reference => reference.Attribute("Include")?.Value).OfType<string>();
}
