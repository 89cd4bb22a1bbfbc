using System.Globalization;
using Millrace.Kafka;
using Millrace.Kafka.Protocol;

namespace Millrace.Tests;

/// <summary>
/// The cluster that MILLRACE_TEST_BOOTSTRAP names: tests then run against it, each in a namespace of its own, and not against a broker of
/// theirs. Nothing is taken for granted of it: its brokers may die and move their partitions meanwhile.
/// </summary>
internal sealed class TestCluster
{
    public const string Variable = "MILLRACE_TEST_BOOTSTRAP";

    /// <summary>Copies of each topic, where the cluster has as many brokers.</summary>
    public const short WantedReplicas = 3;

    /// <summary>Kafka: group.min.session.timeout.ms, by default.</summary>
    public static readonly TimeSpan ShortestSession = TimeSpan.FromSeconds(6);

    /// <summary>Namespaces begin with this and with the hour in which they were made.</summary>
    private const string NamePrefix = "millrace-test-";

    private static readonly TimeSpan s_abandonedAfter = TimeSpan.FromHours(6);
    private static readonly TimeSpan s_callLimit = TimeSpan.FromSeconds(120);
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(200);
    private static readonly SemaphoreSlim s_once = new(1);
    private static TestCluster? s_found;
    private static int s_lastNamespace;

    private TestCluster(IReadOnlyList<BrokerAddress> bootstrap, IReadOnlyDictionary<ApiKey, (short Min, short Max)> versions, int brokerCount)
    {
        Bootstrap = bootstrap;
        Versions = versions;
        BrokerCount = brokerCount;
    }

    /// <summary>What the variable says; null where it is not set.</summary>
    public static string? Address { get; } = Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } text ? text : null;

    public static bool IsExternal => Address is not null;

    public IReadOnlyList<BrokerAddress> Bootstrap { get; }

    public IReadOnlyDictionary<ApiKey, (short Min, short Max)> Versions { get; }

    public int BrokerCount { get; }

    /// <summary>Three where there are as many brokers; else what the brokers are set to.</summary>
    public short ReplicationFactor => BrokerCount >= WantedReplicas ? WantedReplicas : (short)-1;

    public bool CreatesTopics => ClusterCalls.Common(Versions, CreateTopicsRequest.Api, lowest: 1) is not null;

    /// <summary>The cluster. The first call looks at it, and does away with what runs that were killed left on it.</summary>
    public static async Task<TestCluster> GetAsync()
    {
        await s_once.WaitAsync();
        try
        {
            return s_found ??= await OpenAsync(Address!);
        }
        finally
        {
            s_once.Release();
        }
    }

    /// <summary>Looks at a cluster, and does away with what runs that were killed left on it.</summary>
    public static async Task<TestCluster> OpenAsync(string addresses)
    {
        BrokerAddress[] bootstrap = [.. addresses.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
            .Select(text => BrokerAddress.TryParse(text, out BrokerAddress address) ? address : throw new InvalidOperationException($"{Variable} holds '{text}', which is not host:port."))];
        var unknown = new TestCluster(bootstrap, new Dictionary<ApiKey, (short, short)>(), 0);
        IReadOnlyDictionary<ApiKey, (short Min, short Max)> versions =
            await unknown.AskAnyAsync("ApiVersions", (broker, token) => ClusterCalls.VersionsAsync(broker, token));
        MetadataResponse metadata = await new TestCluster(bootstrap, versions, 0).DescribeAsync([]);

        // One of those that are named may be down just now.
        var cluster = new TestCluster(bootstrap, versions, Math.Max(metadata.Brokers.Count, bootstrap.Length));
        await cluster.DeleteAsync(IsAbandoned);
        return cluster;
    }

    /// <summary>The names of topics and groups on the cluster.</summary>
    public async Task<IReadOnlyList<string>> ListAsync(CancellationToken cancellationToken)
    {
        MetadataResponse metadata = await DescribeAsync(cancellationToken: cancellationToken);
        List<string> names = [.. metadata.Topics.Select(topic => topic.Name).OfType<string>()];
        if (ClusterCalls.Common(Versions, ListGroupsRequest.Api) is { } version)
        {
            foreach (MetadataBroker broker in metadata.Brokers)
            {
                ListGroupsResponse listed = await ClusterCalls.SendAsync<ListGroupsRequest, ListGroupsResponse>(
                    new BrokerAddress(broker.Host, broker.Port), new ListGroupsRequest(), version, cancellationToken);
                names.AddRange(listed.Groups.Select(group => group.GroupId));
            }
        }

        return names;
    }

    /// <summary>Skips the test where the cluster's brokers do not offer an API in a version, or a later one.</summary>
    public void Require(ApiDefinition api, short lowest = 0) => Assert.SkipUnless(
        ClusterCalls.Common(Versions, api, lowest) is not null, $"The cluster of {Variable} has no {api.Key} in version {lowest} or later.");

    /// <summary>A name that nothing else on the cluster begins with.</summary>
    public static string NewNamespace() => string.Create(
        CultureInfo.InvariantCulture,
        $"{NamePrefix}{TimeProvider.System.GetUtcNow().ToUnixTimeSeconds()}-{Environment.ProcessId}-{Interlocked.Increment(ref s_lastNamespace)}-");

    /// <summary>Creates a topic, unless it is there.</summary>
    public async Task CreateTopicAsync(CreatableTopic topic)
    {
        if (ClusterCalls.Common(Versions, CreateTopicsRequest.Api, lowest: 1) is not { } version)
        {
            return;
        }

        Prepare(topic);
        await UntilAsync($"creating {topic.Name}", async token =>
        {
            CreateTopicsResponse response = await ClusterCalls.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(
                await ControllerAsync(token), new CreateTopicsRequest { Topics = [topic], TimeoutMilliseconds = 30_000 }, version, token);
            ErrorCode error = response.Topics.Single().ErrorCode;
            Assert.True(
                error is ErrorCode.None or ErrorCode.TopicAlreadyExists or ErrorCode.InvalidReplicationFactor || KafkaErrors.IsRetriable(error),
                $"Creating {topic.Name}: {KafkaErrors.Describe(error)} {response.Topics.Single().ErrorMessage}");
            return error is ErrorCode.None or ErrorCode.TopicAlreadyExists;
        });
    }

    /// <summary>Waits until all brokers are there: a topic of three copies cannot be created while one is down.</summary>
    public Task AllBrokersAsync() => UntilAsync("the return of a broker", async token => (await DescribeAsync([], token)).Brokers.Count >= BrokerCount);

    /// <summary>Has a topic kept by three brokers, two of which know a record when it is acknowledged; and what does not depend on the cluster's version or clock.</summary>
    public void Prepare(CreatableTopic topic)
    {
        // Before Kafka 2.6 the default was smaller.
        SetDefault(topic, "max.message.bytes", "1048588");

        // Times of records are those of the test's own clock, which may be years ago.
        SetDefault(topic, "retention.ms", "-1");
        if (ReplicationFactor < 0)
        {
            return;
        }

        if (topic.ReplicationFactor < 0 && topic.Assignments.Count == 0)
        {
            topic.ReplicationFactor = ReplicationFactor;
        }

        if (topic.ReplicationFactor == WantedReplicas)
        {
            SetDefault(topic, "min.insync.replicas", "2");
        }
    }

    private static void SetDefault(CreatableTopic topic, string name, string value)
    {
        if (topic.Configs.TrueForAll(config => config.Name != name))
        {
            topic.Configs.Add(new CreatableTopicConfig { Name = name, Value = value });
        }
    }

    /// <summary>Deletes topics and groups. What cannot be deleted now is left to a later run.</summary>
    public async Task DeleteAsync(Func<string, bool> isMine)
    {
        string[] topics = [.. (await DescribeAsync()).Topics.Select(topic => topic.Name).OfType<string>().Where(isMine)];
        if (topics.Length > 0 && ClusterCalls.Common(Versions, DeleteTopicsRequest.Api, lowest: 1) is { } version)
        {
            var request = new DeleteTopicsRequest
            {
                TopicNames = [.. topics],
                Topics = [.. topics.Select(topic => new DeleteTopicState { Name = topic })],
                TimeoutMilliseconds = 30_000,
            };
            await UntilAsync("deleting topics", async token =>
            {
                DeleteTopicsResponse response = await ClusterCalls.SendAsync<DeleteTopicsRequest, DeleteTopicsResponse>(
                    await ControllerAsync(token), request, version, token);
                return response.Responses.TrueForAll(result => result.ErrorCode is ErrorCode.None or ErrorCode.UnknownTopicOrPartition);
            });
        }

        await DeleteGroupsAsync(isMine);
    }

    private static bool IsAbandoned(string name) =>
        name.StartsWith(NamePrefix, StringComparison.Ordinal)
        && long.TryParse(name.AsSpan(NamePrefix.Length).ToString().Split('-')[0], NumberStyles.None, CultureInfo.InvariantCulture, out long seconds)
        && DateTimeOffset.FromUnixTimeSeconds(seconds) + s_abandonedAfter < TimeProvider.System.GetUtcNow();

    private async Task DeleteGroupsAsync(Func<string, bool> isMine)
    {
        if (ClusterCalls.Common(Versions, DeleteGroupsRequest.Api) is not { } deleteVersion || ClusterCalls.Common(Versions, ListGroupsRequest.Api) is not { } listVersion)
        {
            return;
        }

        // Each broker knows the groups that it coordinates. One whose members were killed is not empty before their sessions end: it is
        // waited for once, and then goes by itself, since its topics are gone and its offsets with them.
        foreach (MetadataBroker broker in (await DescribeAsync()).Brokers)
        {
            var address = new BrokerAddress(broker.Host, broker.Port);
            await TryAsync(async token =>
            {
                ListGroupsResponse listed = await ClusterCalls.SendAsync<ListGroupsRequest, ListGroupsResponse>(address, new ListGroupsRequest(), listVersion, token);
                List<string> groups = [.. listed.Groups.Select(group => group.GroupId).Where(isMine)];
                if (groups.Count == 0)
                {
                    return true;
                }

                DeleteGroupsResponse response = await ClusterCalls.SendAsync<DeleteGroupsRequest, DeleteGroupsResponse>(
                    address, new DeleteGroupsRequest { GroupIds = groups }, deleteVersion, token);
                return response.Results.TrueForAll(result => result.ErrorCode != ErrorCode.NonEmptyGroup);
            }, ShortestSession + ShortestSession);
        }
    }

    private async Task<BrokerAddress> ControllerAsync(CancellationToken cancellationToken)
    {
        MetadataResponse metadata = await DescribeAsync([], cancellationToken);
        MetadataBroker? controller = metadata.Brokers.Find(broker => broker.NodeId == metadata.ControllerId) ?? metadata.Brokers.FirstOrDefault();
        return controller is null
            ? throw new KafkaConnectionException("The broker has just started, and does not know the cluster yet.")
            : new BrokerAddress(controller.Host, controller.Port);
    }

    private Task<MetadataResponse> DescribeAsync(List<MetadataRequestTopic>? topics = null, CancellationToken cancellationToken = default)
    {
        short version = ClusterCalls.Common(Versions, MetadataRequest.Api, lowest: 1) ?? throw new InvalidOperationException("No version of Metadata in common.");
        return AskAnyAsync("Metadata", (broker, token) => ClusterCalls.SendAsync<MetadataRequest, MetadataResponse>(
            broker, new MetadataRequest { Topics = topics, AllowAutoTopicCreation = false }, version, token), cancellationToken);
    }

    /// <summary>Asks one broker after the other until one answers.</summary>
    private async Task<T> AskAnyAsync<T>(string what, Func<BrokerAddress, CancellationToken, Task<T>> ask, CancellationToken cancellationToken = default)
        where T : class
    {
        T? answer = null;
        int turn = 0;
        await UntilAsync(what, async token =>
        {
            answer = await ask(Bootstrap[turn++ % Bootstrap.Count], token);
            return true;
        }, cancellationToken);
        return answer!;
    }

    private static async Task UntilAsync(string what, Func<CancellationToken, Task<bool>> attempt, CancellationToken cancellationToken = default) =>
        Assert.True(await TryAsync(attempt, s_callLimit, cancellationToken), $"{what} on the cluster of {Variable} did not succeed within {s_callLimit}.");

    private static async Task<bool> TryAsync(Func<CancellationToken, Task<bool>> attempt, TimeSpan limit, CancellationToken cancellationToken = default)
    {
        using var deadline = new CancellationTokenSource(limit, TimeProvider.System);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        while (!either.IsCancellationRequested)
        {
            try
            {
                if (await attempt(either.Token))
                {
                    return true;
                }
            }
            catch (Exception failure) when (failure is KafkaException or OperationCanceledException)
            {
                // A broker that is down, or on its way.
            }

            // Real time: the brokers of a cluster follow their own clock.
            await Task.Delay(s_pause, TimeProvider.System, CancellationToken.None);
        }

        cancellationToken.ThrowIfCancellationRequested();
        return false;
    }
}
