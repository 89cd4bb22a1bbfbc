using System.Text;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

public sealed class ScramClientTests
{
    private const string Nonce = "rOprNGfwEbeRWgbNEkqO";
    private const string ServerFirst = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    private const string ServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    /// <summary>The example of RFC 7677, section 3.</summary>
    [Fact]
    public void The_messages_are_those_of_the_standard()
    {
        ScramClient client = Create();
        Assert.Equal("n,,n=user,r=rOprNGfwEbeRWgbNEkqO", Text(client.Begin()));
        Assert.Equal(
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            Text(Next(client, ServerFirst)));
        Assert.Null(Next(client, ServerFinal));
    }

    [Theory]
    [InlineData("r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce")]
    [InlineData("r=somebodyelse,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce")]
    [InlineData("s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce")]
    [InlineData("r=rOprNGfwEbeRWgbNEkqOmore,s=%%%,i=4096", "salt")]
    [InlineData("r=rOprNGfwEbeRWgbNEkqOmore,i=4096", "salt")]
    [InlineData("r=rOprNGfwEbeRWgbNEkqOmore,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095", "iterations")]
    [InlineData("r=rOprNGfwEbeRWgbNEkqOmore,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1000001", "iterations")]
    [InlineData("r=rOprNGfwEbeRWgbNEkqOmore,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=-5000", "iterations")]
    [InlineData("r=rOprNGfwEbeRWgbNEkqOmore,s=W22ZaJ0SNY7soEsUEjb6gQ==", "iterations")]
    [InlineData("m=future,r=rOprNGfwEbeRWgbNEkqOmore,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "extension")]
    [InlineData("r=rOprNGfwEbeRWgbNEkqOmore,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,i=8192", "twice")]
    [InlineData("e=unknown-user", "unknown-user")]
    [InlineData("", "list of attributes")]
    [InlineData("nonsense", "list of attributes")]
    public void A_first_answer_that_is_not_right_ends_the_login_with_a_sentence(string answer, string expected)
    {
        ScramClient client = Create();
        client.Begin();
        Assert.Contains(expected, Assert.Throws<SaslFaultException>(() => Next(client, answer)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "signature")]
    [InlineData("v=", "signature")]
    [InlineData("e=invalid-proof", "invalid-proof")]
    [InlineData("r=6rriTRBi23WpRR", "signature")]
    public void A_broker_that_does_not_know_the_password_is_not_believed(string answer, string expected)
    {
        ScramClient client = Create();
        client.Begin();
        Next(client, ServerFirst);
        Assert.Contains(expected, Assert.Throws<SaslFaultException>(() => Next(client, answer)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_broker_cannot_end_the_login_before_it_has_proved_itself()
    {
        ScramClient client = Create();
        client.Begin();
        Assert.Throws<SaslFaultException>(() => Next(client, ""));
    }

    [Fact]
    public void A_name_with_what_separates_attributes_is_escaped()
    {
        var client = new ScramClient(ScramHash.Sha512, "a=b,c", "pencil", Nonce);
        Assert.Equal("n,,n=a=3Db=2Cc,r=rOprNGfwEbeRWgbNEkqO", Text(client.Begin()));
        Assert.Equal("a=b,c", ScramMessage.UnescapeName("a=3Db=2Cc"));
        Assert.Null(ScramMessage.UnescapeName("a=b"));
    }

    [Theory]
    [InlineData("pencil", true)]
    [InlineData("with space, comma = and Überraschung 木", true)]
    [InlineData("", false)]
    [InlineData("tab\there", false)]
    [InlineData("no\u00A0break", false)]
    [InlineData("soft\u00ADhyphen", false)]
    [InlineData("a\u0301 in two", false)]
    [InlineData("x\u00B2", false)]
    [InlineData("broken \uD800", false)]
    public void Text_that_SASLprep_would_change_is_refused(string text, bool isAllowed) => Assert.Equal(isAllowed, SaslText.Fault(text) is null);

    private static ScramClient Create() => new(ScramHash.Sha256, "user", "pencil", Nonce);

    private static byte[]? Next(ScramClient client, string answer) => client.Next(Encoding.UTF8.GetBytes(answer));

    private static string Text(byte[]? bytes) => Encoding.UTF8.GetString(bytes!);
}
