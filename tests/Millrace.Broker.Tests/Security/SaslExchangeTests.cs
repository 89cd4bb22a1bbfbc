using System.Text;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

public sealed class SaslExchangeTests
{
    private const string ServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    private const string ClientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    private const string Proof = "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    private const string ClientFinal = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0," + Proof;

    private static readonly byte[] Secret = [7, 7, 7];

    /// <summary>The example of RFC 7677, section 3.</summary>
    [Fact]
    public void The_messages_are_those_of_the_standard()
    {
        ScramExchange exchange = Create();
        Assert.Equal("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", Text(Next(exchange, ClientFirst)));
        SaslStep done = Next(exchange, ClientFinal);
        Assert.Equal("user", done.User);
        Assert.Equal("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", Text(done));
    }

    [Theory]
    [InlineData("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "password")]
    [InlineData("c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "does not belong")]
    [InlineData("c=eSws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "does not belong")]
    [InlineData("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "no proof")]
    [InlineData("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=", "no proof")]
    [InlineData("", "no proof")]
    public void A_last_message_that_is_not_right_logs_nobody_in(string message, string fault)
    {
        ScramExchange exchange = Create();
        Next(exchange, ClientFirst);
        SaslStep step = Next(exchange, message);
        Assert.Null(step.User);
        Assert.Contains(fault, step.Fault, StringComparison.Ordinal);
        Assert.Empty(step.Answer);
    }

    [Theory]
    [InlineData("p=tls-unique,,n=user,r=abc", "channel binding")]
    [InlineData("n=user,r=abc", "header")]
    [InlineData("n,a=root,n=user,r=abc", "somebody else")]
    [InlineData("n,,r=abc", "no name")]
    [InlineData("n,,n=user", "no nonce")]
    [InlineData("n,,n=us=er,r=abc", "no name")]
    [InlineData("n,,m=future,n=user,r=abc", "extension")]
    [InlineData("", "header")]
    public void A_first_message_that_is_not_right_logs_nobody_in(string message, string fault) =>
        Assert.Contains(fault, Next(Create(), message).Fault, StringComparison.Ordinal);

    [Fact]
    public void A_name_that_nobody_has_is_answered_like_any_other_and_the_same_each_time()
    {
        string first = Text(Next(Create(), "n,,n=mallory,r=abc"));
        Assert.Equal(first, Text(Next(Create(), "n,,n=mallory,r=abc")));
        Assert.NotEqual(first, Text(Next(Create(), "n,,n=mallory2,r=abc")));
        Assert.Contains(",i=8192", first, StringComparison.Ordinal);
        ScramExchange exchange = Create();
        Next(exchange, ClientFirst.Replace("user", "mallory", StringComparison.Ordinal));
        Assert.Contains("no user", Next(exchange, ClientFinal).Fault, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_not_text_is_not_read() => Assert.NotNull(Create().Next([0xFF, 0xFE]).Fault);

    [Theory]
    [InlineData("\0user\0pencil", "user")]
    [InlineData("user\0user\0pencil", "user")]
    [InlineData("root\0user\0pencil", null)]
    [InlineData("\0user\0pen", null)]
    [InlineData("\0user\0", null)]
    [InlineData("user\0pencil", null)]
    [InlineData("\0user\0pencil\0", null)]
    public void PLAIN_is_checked_against_what_is_kept_for_SCRAM(string message, string? user)
    {
        SaslStep step = new PlainExchange(Users(), Secret).Next(Encoding.UTF8.GetBytes(message));
        Assert.Equal(user, step.User);
        Assert.Equal(user is null, step.Fault is not null);
    }

    [Fact]
    public void Users_come_back_from_their_file_as_they_were()
    {
        UserFile users = Users();
        users.Set("with space, and %41 and ü", StoredScramKeys.Create(ScramHash.Sha512, "x", [9], StoredScramKeys.MinIterations));
        string text = Write(users);
        Assert.DoesNotContain("pencil", text, StringComparison.Ordinal);
        Assert.True(UserFile.TryParse(text, out UserFile? read, out string? error), error);
        Assert.Equal(users.Users.Select(user => user.User), read.Users.Select(user => user.User));
        Assert.Equal(users.Find("user", ScramHash.Sha256)!.StoredKey, read.Find("user", ScramHash.Sha256)!.StoredKey);
        Assert.Equal(text, Write(read));
    }

    [Theory]
    [InlineData("alice")]
    [InlineData("alice SCRAM-SHA-1 iterations=4096 salt=AQ== stored_key=AQ== server_key=AQ==")]
    [InlineData("alice SCRAM-SHA-256 iterations=4095 salt=AQ== stored_key=AQ== server_key=AQ==")]
    [InlineData("alice SCRAM-SHA-256 iterations=4096 salt=AQ== stored_key=AQ== server_key=AQ==")]
    [InlineData("alice SCRAM-SHA-256 iterations=4096 salt= stored_key= server_key=")]
    public void A_line_that_makes_no_sense_is_named_by_its_number(string line)
    {
        Assert.False(UserFile.TryParse("# heading\n\n" + line, out _, out string? error));
        Assert.StartsWith("line 3", error, StringComparison.Ordinal);
    }

    private static string Write(UserFile users)
    {
        string path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            users.Write(new Millrace.Log.FileStorage(), path);
            return File.ReadAllText(path);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static UserFile Users()
    {
        var users = new UserFile();
        users.Set("user", StoredScramKeys.Create(ScramHash.Sha256, "pencil", Convert.FromBase64String("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096));
        return users;
    }

    private static ScramExchange Create() => new(ScramHash.Sha256, Users(), Secret, ServerNonce);

    private static SaslStep Next(ScramExchange exchange, string message) => exchange.Next(Encoding.UTF8.GetBytes(message));

    private static string Text(SaslStep step) => Encoding.UTF8.GetString(step.Answer);
}
