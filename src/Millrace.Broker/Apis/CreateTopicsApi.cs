using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// CreateTopics (key 19, versions 0-7): creates topics, or only checks whether they could be. A coordinator's topic is created as the coordinator would, with what the request says
/// beyond that.
/// </summary>
internal sealed class CreateTopicsApi(BrokerServices services, GroupCoordinator groups, TransactionCoordinator transactions)
    : Api<CreateTopicsRequest, CreateTopicsResponse>
{
    private const short BrokerDefault = -1;
    private const short ReplicationFactor = 1;

    protected override ValueTask<CreateTopicsResponse?> HandleAsync(CreateTopicsRequest request, RequestContext context)
    {
        HashSet<string> twice = [.. request.Topics.GroupBy(topic => topic.Name).Where(named => named.Count() > 1).Select(named => named.Key)];
        long begun = services.Time.GetTimestamp();
        var results = new List<CreatableTopicResult>(request.Topics.Count);
        foreach (CreatableTopic topic in request.Topics)
        {
            // Each topic is on the disk when its turn is over, so a deadline can only pass between two of them.
            if (results.Count > 0 && services.Time.GetElapsedTime(begun).TotalMilliseconds > request.TimeoutMilliseconds)
            {
                results.Add(Refused(topic, ErrorCode.RequestTimedOut, "The topics before this one took all of the request's time. It is not created."));
            }
            else if (twice.Contains(topic.Name))
            {
                results.Add(Refused(topic, ErrorCode.InvalidRequest, $"Topic {topic.Name} stands more than once in this request."));
            }
            else
            {
                results.Add(Handle(topic, request.ValidateOnly));
            }
        }

        return new ValueTask<CreateTopicsResponse?>(new CreateTopicsResponse { Topics = results });
    }

    private CreatableTopicResult Handle(CreatableTopic topic, bool validateOnly)
    {
        CoordinatorTopic? coordinators = topic.Name switch
        {
            TopicName.ConsumerOffsets => groups.Topic,
            TopicName.TransactionState => transactions.Topic,
            _ => null,
        };

        // Before anything else that is asked for, as in Kafka: programs that create what is missing look at this error alone.
        if (services.Topics.CheckName(topic.Name) is { } taken)
        {
            return Refused(topic, taken.Error, taken.Message);
        }

        if (Layout(topic, coordinators?.NewPartitionCount ?? services.Configuration.DefaultPartitionCount, out int partitionCount) is { } refusal)
        {
            return refusal;
        }

        var settings = new Dictionary<string, string>(StringComparer.Ordinal);
        if (SettingsFault(topic, coordinators is null ? [] : CoordinatorTopic.Settings, settings) is { } fault)
        {
            return Refused(topic, ErrorCode.InvalidConfig, fault);
        }

        if (validateOnly)
        {
            return services.Topics.Check(topic.Name, partitionCount) is { } invalid
                ? Refused(topic, invalid.Error, invalid.Message)
                : Accepted(topic, Guid.Empty, partitionCount, settings);
        }

        TopicCreation outcome = coordinators is null ? services.Topics.Create(topic.Name, partitionCount, settings) : coordinators.Create(partitionCount, settings);
        return outcome switch
        {
            TopicCreation.Created created => Accepted(topic, created.Topic.Id, partitionCount, services.Topics.SettingsOf(topic.Name)),
            TopicCreation.Refused refused => Refused(topic, refused.Error, refused.Message),
            _ => Refused(topic, ErrorCode.UnknownServerError, "The creation has an outcome that nobody has thought of."),
        };
    }

    /// <summary>Reads the settings that the topic is to have of its own, or says what is wrong with them.</summary>
    /// <param name="unlessSaid">What it has where the request does not say otherwise.</param>
    private string? SettingsFault(CreatableTopic topic, IEnumerable<KeyValuePair<string, string>> unlessSaid, Dictionary<string, string> settings)
    {
        foreach (CreatableTopicConfig setting in topic.Configs)
        {
            if (setting.Value is null)
            {
                return $"{setting.Name} has no value. Leave it out to give the topic the default.";
            }

            if (!settings.TryAdd(setting.Name, setting.Value))
            {
                return $"{setting.Name} stands more than once.";
            }
        }

        foreach ((string name, string value) in unlessSaid)
        {
            settings.TryAdd(name, value);
        }

        return TopicSettingTable.TryApply(services.Log.TopicDefaults, settings, out _, out string? error) ? null : error;
    }

    /// <summary>How many partitions are asked for, as a count or as a list of assignments; or why that cannot be.</summary>
    private static CreatableTopicResult? Layout(CreatableTopic topic, int defaultPartitionCount, out int partitionCount)
    {
        partitionCount = topic.PartitionCount == BrokerDefault ? defaultPartitionCount : topic.PartitionCount;
        if (topic.Assignments.Count == 0)
        {
            return topic.ReplicationFactor is BrokerDefault or ReplicationFactor
                ? null
                : Refused(
                    topic,
                    ErrorCode.InvalidReplicationFactor,
                    $"Topic {topic.Name} was asked for with a replication factor of {topic.ReplicationFactor}; this broker is a single node. Ask for 1, or -1 for the default.");
        }

        if (topic.PartitionCount != BrokerDefault || topic.ReplicationFactor != BrokerDefault)
        {
            return Refused(topic, ErrorCode.InvalidRequest, "Give assignments, or a partition count and a replication factor (which are then -1), not both.");
        }

        partitionCount = topic.Assignments.Count;
        var assigned = new HashSet<int>();
        foreach (CreatableReplicaAssignment assignment in topic.Assignments)
        {
            bool isOfThisNode = assignment.BrokerIds is [BrokerConfiguration.NodeId];
            bool isInRange = assignment.PartitionIndex >= 0 && assignment.PartitionIndex < partitionCount;
            if (!isOfThisNode || !isInRange || !assigned.Add(assignment.PartitionIndex))
            {
                return Refused(
                    topic,
                    ErrorCode.InvalidReplicaAssignment,
                    $"The assignment of partition {assignment.PartitionIndex} does not fit: partitions are numbered from 0 without gaps, each on broker {BrokerConfiguration.NodeId} alone.");
            }
        }

        return null;
    }

    private CreatableTopicResult Accepted(
        CreatableTopic topic, Guid topicId, int partitionCount, IReadOnlyDictionary<string, string> settings) => new()
    {
        Name = topic.Name,
        TopicId = topicId,
        ErrorMessage = null,
        PartitionCount = partitionCount,
        ReplicationFactor = ReplicationFactor,
        Configs =
        [
            .. TopicConfigs.Describe(services.Log.TopicDefaults, settings).Select(entry => new CreatableTopicResultConfig
            {
                Name = entry.Name, Value = entry.Value, ConfigSource = (sbyte)entry.Source, ReadOnly = entry.IsReadOnly,
            }),
        ],
    };

    private static CreatableTopicResult Refused(CreatableTopic topic, ErrorCode error, string message) =>
        new() { Name = topic.Name, ErrorCode = error, ErrorMessage = message, Configs = null };
}
