using System.Text.Json;
using Millrace.Kafka.Records;

namespace Millrace.Cli.Doctor;

/// <summary>What the doctor says, to people and to programs.</summary>
internal static class DoctorReport
{
    public static void WriteText(TextWriter output, ClusterSnapshot cluster, IReadOnlyList<Finding> findings)
    {
        output.WriteLine(
            $"Cluster {cluster.ClusterId ?? "without an id"}: {Text.Counted(cluster.Brokers.Count, "broker")}, {Text.Counted(cluster.Topics.Count, "topic")} with "
            + $"{Text.Counted(cluster.Topics.Sum(topic => topic.Partitions.Count), "partition")}, {Text.Counted(cluster.Groups.Count, "group")}.");
        foreach (Finding finding in findings)
        {
            output.WriteLine();
            output.WriteLine($"{finding.Severity.ToString().ToUpperInvariant()} {finding.Rule}: {finding.What}");
            output.WriteLine($"  why:  {finding.Why}");
            output.WriteLine($"  mend: {finding.Remedy}");
        }

        output.WriteLine();
        output.WriteLine(Summary(findings));
        foreach (string hint in Hints(cluster))
        {
            output.WriteLine(hint);
        }
    }

    public static void WriteJson(TextWriter output, ClusterSnapshot cluster, IReadOnlyList<Finding> findings)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("takenAt", cluster.TakenAt);
            json.WriteString("clusterId", cluster.ClusterId);
            json.WriteNumber("brokers", cluster.Brokers.Count);
            json.WriteNumber("topics", cluster.Topics.Count);
            json.WriteNumber("partitions", cluster.Topics.Sum(topic => topic.Partitions.Count));
            json.WriteNumber("groups", cluster.Groups.Count);
            json.WriteString("worst", Worst(findings)?.ToString().ToLowerInvariant() ?? "none");
            json.WriteStartArray("findings");
            foreach (Finding finding in findings)
            {
                json.WriteStartObject();
                json.WriteString("severity", finding.Severity.ToString().ToLowerInvariant());
                json.WriteString("rule", finding.Rule);
                json.WriteString("subject", finding.Subject);
                json.WriteString("what", finding.What);
                json.WriteString("why", finding.Why);
                json.WriteString("mend", finding.Remedy);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteStartArray("clean");
            foreach (DoctorRule rule in DoctorRules.All.Where(rule => findings.All(finding => finding.Rule != rule.Name)))
            {
                json.WriteStringValue(rule.Name);
            }

            json.WriteEndArray();
            json.WriteStartArray("notChecked");
            foreach (string hint in Hints(cluster))
            {
                json.WriteStringValue(hint);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        output.WriteLine(System.Text.Encoding.UTF8.GetString(stream.ToArray()));
    }

    /// <summary>The plan that kafka-reassign-partitions.sh carries out.</summary>
    public static string ReassignmentJson(IReadOnlyDictionary<TopicPartition, IReadOnlyList<int>> plan)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteNumber("version", 1);
            json.WriteStartArray("partitions");
            foreach ((TopicPartition partition, IReadOnlyList<int> replicas) in plan)
            {
                json.WriteStartObject();
                json.WriteString("topic", partition.Topic);
                json.WriteNumber("partition", partition.Partition);
                json.WriteStartArray("replicas");
                foreach (int replica in replicas)
                {
                    json.WriteNumberValue(replica);
                }

                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        return System.Text.Encoding.UTF8.GetString(stream.ToArray());
    }

    /// <summary>0 where nothing needs to be mended, 1 with warnings, 2 with errors.</summary>
    public static int ExitCodeOf(IReadOnlyList<Finding> findings) => (int)(Worst(findings) ?? Severity.Note);

    private static Severity? Worst(IReadOnlyList<Finding> findings) => findings.Count == 0 ? null : findings.Max(finding => finding.Severity);

    private static string Summary(IReadOnlyList<Finding> findings)
    {
        int clean = DoctorRules.All.Count(rule => findings.All(finding => finding.Rule != rule.Name));
        string counts = string.Join(", ", new[] { (Severity.Error, "error"), (Severity.Warning, "warning"), (Severity.Note, "note") }
            .Select(item => (Count: findings.Count(finding => finding.Severity == item.Item1), Noun: item.Item2))
            .Where(item => item.Count > 0).Select(item => Text.Counted(item.Count, item.Noun)));
        return $"{(counts.Length == 0 ? "Nothing to mend" : counts)}; {clean} of {DoctorRules.All.Count} rules found nothing.";
    }

    private static IEnumerable<string> Hints(ClusterSnapshot cluster)
    {
        if (cluster.Clocks is null)
        {
            yield return "Not checked: the brokers' clocks. --probe-clock makes a topic of its own, writes a few records to each broker, and deletes it.";
        }

        if (cluster.Producers.Count == 0)
        {
            yield return "Not checked: the settings of the application's producers. Give their files: --application producer.properties, --application appsettings.json.";
        }
    }
}
