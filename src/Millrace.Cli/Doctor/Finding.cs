namespace Millrace.Cli.Doctor;

/// <summary>How bad it is; the worst one is the exit code.</summary>
internal enum Severity
{
    /// <summary>Worth knowing; nothing needs to change.</summary>
    Note = 0,

    /// <summary>A failure away from trouble, or trouble for some.</summary>
    Warning = 1,

    /// <summary>Records are or will be lost, or clients are being refused.</summary>
    Error = 2,
}

/// <summary>Something that is not as it should be in production.</summary>
/// <param name="Severity">How bad it is.</param>
/// <param name="Rule">The name of the rule that found it.</param>
/// <param name="Subject">What it is about: a topic, a broker, a group, a file.</param>
/// <param name="What">What is the case.</param>
/// <param name="Why">What comes of it.</param>
/// <param name="Remedy">The command that mends it, or what to do where there is no command.</param>
internal sealed record Finding(Severity Severity, string Rule, string Subject, string What, string Why, string Remedy);

/// <summary>How remedies name the cluster.</summary>
/// <param name="Bootstrap">The address that the doctor was given.</param>
/// <param name="ConfigFile">The properties file that it was given, or null.</param>
/// <param name="ReassignmentFile">Where the plan for more replicas is written, or null.</param>
internal sealed record RemedyContext(string Bootstrap, string? ConfigFile = null, string? ReassignmentFile = null)
{
    /// <summary>A command of Kafka's tools.</summary>
    public string Kafka(string tool, string arguments)
    {
        (string command, string option) = tool switch
        {
            "kafka-leader-election" => ("kafka-leader-election.sh", "--admin.config"),
            "kafka-cluster unregister" => ("kafka-cluster.sh unregister", "--config"),
            _ => ($"{tool}.sh", "--command-config"),
        };
        string security = ConfigFile is null ? "" : $" {option} {ConfigFile}";
        return $"{command} --bootstrap-server {Bootstrap}{security} {arguments}";
    }

    public string SetTopic(string topic, string setting) => Kafka("kafka-configs", $"--alter --entity-type topics --entity-name {topic} --add-config {setting}");

    public string UnsetTopic(string topic, string setting) => Kafka("kafka-configs", $"--alter --entity-type topics --entity-name {topic} --delete-config {setting}");

    public string SetAllBrokers(string setting) => Kafka("kafka-configs", $"--alter --entity-type brokers --entity-default --add-config {setting}");

    /// <summary>More replicas for topics: Kafka's tool takes a file, which the doctor writes.</summary>
    public string Reassign() => ReassignmentFile is null
        ? $"millrace doctor --bootstrap {Bootstrap}{(ConfigFile is null ? "" : $" --config {ConfigFile}")} --reassignment-file more-replicas.json; then "
            + Kafka("kafka-reassign-partitions", "--reassignment-json-file more-replicas.json --execute")
        : Kafka("kafka-reassign-partitions", $"--reassignment-json-file {ReassignmentFile} --execute");
}
